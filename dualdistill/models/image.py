"""Camera backbone of the student: mmdet's ResNet and a light FPN that merges to stride 16.

Axes: M images (batch x cameras), C channels, H W pixels, h w cells of stride 16.
"""

from __future__ import annotations

from mmdet.models.backbones import ResNet
from torch import Tensor, nn
from torch.nn import functional as F

from dualdistill.models.blocks import channels_last, initialise
from dualdistill.spec import StudentSpec

STRIDE = 16  # of the map that is lifted; depth targets have the same cells


class ImageEncoder(nn.Module):
    """Normalised RGB -> one feature map of stride 16."""

    def __init__(self, spec: StudentSpec) -> None:
        super().__init__()
        self.backbone = ResNet(
            spec.depth,
            base_channels=spec.width,
            out_indices=(2, 3),
            norm_cfg={"type": "BN", "requires_grad": True},
            norm_eval=False,
            with_cp=spec.activation_checkpoint,
        )
        initialise(self.backbone)
        fine, coarse = 16 * spec.width, 32 * spec.width
        self.lateral_fine = nn.Conv2d(fine, spec.neck_channels, 1)
        self.lateral_coarse = nn.Conv2d(coarse, spec.neck_channels, 1)
        self.smooth = nn.Conv2d(spec.neck_channels, spec.neck_channels, 3, padding=1)

    def forward(self, images_MCHW: Tensor) -> Tensor:
        fine_MChw, coarse_MCHW = self.backbone(channels_last(images_MCHW))
        merged_MChw = self.lateral_fine(fine_MChw)
        size = merged_MChw.shape[-2:]
        merged_MChw = merged_MChw + F.interpolate(self.lateral_coarse(coarse_MCHW), size=size, mode="nearest")
        return self.smooth(merged_MChw)
