"""What a cell of the image map shows, said by the map itself.

Boxes teach an image network only through depth, splat and BEV network, which in a short training is too far
for what covers one cell. So a detector that students start from also names its cells (perspective
supervision, as in BEVFormer v2, https://arxiv.org/abs/2211.10439); the layer that says the names is dropped.

Axes: B batch, N cameras, G classes and background, C channels, h w cells of the map, H cells with a return.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualdistill.config.nuscenes import BACKGROUND, CLASSES

BACKGROUND_WEIGHT = 0.2  # it owns most cells


class Naming(nn.Module):
    """One linear layer on every cell, and its cross-entropy."""

    weight_G: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.names = nn.Conv2d(channels, len(CLASSES) + 1, 1)
        weight_G = torch.ones(len(CLASSES) + 1)
        weight_G[BACKGROUND] = BACKGROUND_WEIGHT
        self.register_buffer("weight_G", weight_G, persistent=False)

    def forward(self, image_BNChw: Tensor, named_BNhw: Tensor, hit_BNhw: Tensor) -> Tensor:
        """The weighted mean over the cells with a LiDAR return; zero where there is none."""
        scores_BNGhw = self.names(image_BNChw.flatten(0, 1)).unflatten(0, image_BNChw.shape[:2])
        scores_HG, named_H = scores_BNGhw.movedim(2, -1)[hit_BNhw], named_BNhw[hit_BNhw]
        summed = F.cross_entropy(scores_HG, named_H, self.weight_G, reduction="sum")
        return summed / self.weight_G[named_H].sum().clamp(min=BACKGROUND_WEIGHT)


def named_cells(owner_BNhw: Tensor, labels_K: tuple[Tensor, ...]) -> Tensor:
    """Class of the box that owns a cell; background where none does, as behind the edge of the grid."""
    owned = [
        F.pad(own_K, (1, 0), value=BACKGROUND)[owner_Nhw]
        for own_K, owner_Nhw in zip(labels_K, owner_BNhw, strict=True)
    ]
    return torch.stack(owned)
