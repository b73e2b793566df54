"""Classification of the cells of the image map, an auxiliary loss.

Boxes supervise an image network only through depth, splat and BEV network, too long a path for objects of one
cell in a short training. So a detector that students start from also classifies its cells (perspective
supervision, as in BEVFormer v2, https://arxiv.org/abs/2211.10439); the classifier itself is dropped.

Axes: B batch, N cameras, G classes and background, C channels, h w cells of the map, H cells with a return.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualdistill.config.nuscenes import BACKGROUND, CLASSES
from dualdistill.distributed import normaliser

BACKGROUND_WEIGHT = 0.2  # most cells are background


class CellClassifier(nn.Module):
    """One linear layer on every cell, and its cross-entropy."""

    weight_G: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logits = nn.Conv2d(channels, len(CLASSES) + 1, 1)
        weight_G = torch.ones(len(CLASSES) + 1)
        weight_G[BACKGROUND] = BACKGROUND_WEIGHT
        self.register_buffer("weight_G", weight_G, persistent=False)

    def forward(self, image_BNChw: Tensor, label_BNhw: Tensor, hit_BNhw: Tensor) -> Tensor:
        """Weighted mean over the cells with a LiDAR return; zero without any."""
        logits_BNGhw = self.logits(image_BNChw.flatten(0, 1)).unflatten(0, image_BNChw.shape[:2])
        logits_HG, label_H = logits_BNGhw.movedim(2, -1)[hit_BNhw], label_BNhw[hit_BNhw]
        summed = F.cross_entropy(logits_HG, label_H, self.weight_G, reduction="sum")
        return summed / normaliser(self.weight_G[label_H].sum(), at_least=BACKGROUND_WEIGHT)


def cell_labels(owner_BNhw: Tensor, labels_K: tuple[Tensor, ...]) -> Tensor:
    """Class of the box that contains a cell's point; background for none, as beyond the edge of the grid."""
    cells = [
        F.pad(sample_labels_K, (1, 0), value=BACKGROUND)[owner_Nhw]
        for sample_labels_K, owner_Nhw in zip(labels_K, owner_BNhw, strict=True)
    ]
    return torch.stack(cells)
