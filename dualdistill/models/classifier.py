"""Classifier of crops, for pre-training a student's backbone.

Axes: B crops, C channels or classes, H W pixels, h w cells of the last map.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from dualdistill.config.nuscenes import CLASSES
from dualdistill.config.run_spec import ClassifierSpec
from dualdistill.data.batch import Crops
from dualdistill.models.bevdepth.image_encoder import LAST, resnet
from dualdistill.models.layers import channels_last


class Classifier(nn.Module):
    """The student's ResNet, global average pooling, and one linear layer over the classes and background."""

    def __init__(self, spec: ClassifierSpec) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = resnet(spec.depth, spec.width)
        self.linear = nn.Linear((4 << LAST) * spec.width, len(CLASSES) + 1)

    def forward(self, batch: Crops) -> Tensor:
        (last_BChw,) = self.backbone(channels_last(batch.images_BCHW))
        logits_BC: Tensor = self.linear(last_BChw.mean(dim=(2, 3)))
        return logits_BC

    def losses(self, logits_BC: Tensor, batch: Crops) -> dict[str, Tensor]:
        """Cross-entropy; labels are balanced by sampling, not in the loss."""
        return {"classification": F.cross_entropy(logits_BC, batch.labels_B)}
