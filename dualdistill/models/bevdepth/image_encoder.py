"""Camera backbone of the student: mmdet's ResNet and a light FPN with one output map.

Axes: M images (batch x cameras), C channels, H W pixels, h w cells of the map.
"""

from __future__ import annotations

from math import log2

from mmdet.models.backbones import ResNet
from torch import Tensor, nn
from torch.nn import functional as F

from dualdistill.config.run_spec import StudentSpec
from dualdistill.models.layers import channels_last, initialise

LAST = 3  # stages 0 to 3 have strides 4, 8, 16 and 32


def resnet(depth: int, width: int, finest: int = LAST) -> ResNet:
    """A ResNet with fresh weights that outputs its stages from `finest` on."""
    backbone = ResNet(
        depth,
        base_channels=width,
        out_indices=tuple(range(finest, LAST + 1)),
        norm_cfg={"type": "BN", "requires_grad": True},
        norm_eval=False,
    )
    initialise(backbone)
    return backbone


class ImageEncoder(nn.Module):
    """Normalised RGB -> one feature map: the stage of the chosen stride, all coarser stages added."""

    def __init__(self, spec: StudentSpec, channels: int) -> None:
        super().__init__()
        finest = int(log2(spec.feature_stride)) - 2
        self.backbone = resnet(spec.depth, spec.width, finest)
        self.laterals = nn.ModuleList(
            nn.Conv2d((4 << stage) * spec.width, channels, 1) for stage in range(finest, LAST + 1)
        )
        self.smooth = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, images_MCHW: Tensor) -> Tensor:
        stages = self.backbone(channels_last(images_MCHW))
        *finer, merged_MChw = [lateral(stage) for lateral, stage in zip(self.laterals, stages, strict=True)]
        for finer_MChw in reversed(finer):
            size = finer_MChw.shape[-2:]
            merged_MChw = finer_MChw + F.interpolate(merged_MChw, size=size, mode="nearest")
        return self.smooth(merged_MChw)
