"""TiG-BEV (arXiv 2212.13979): learn the inner geometry of objects from LiDAR depth and the teacher's BEV map.

Defaults are the released values for a ResNet-50 student trained without class balancing.
Axes: K boxes of the whole batch, C student channels, T teacher channels, P keypoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from dualdistill.config.ranges import NotNegative, Weight
from dualdistill.distill.base import Distiller
from dualdistill.distill.inputs import FeaturePair, Shape
from dualdistill.distill.terms.inner_depth import inner_depth_loss
from dualdistill.distill.terms.relations import keypoint_features, relation_loss


class TiGBEV(Distiller):
    """L = L_depth inside objects + L_keypoint + L_channel on the BEV map in front of the heads."""

    def __init__(
        self,
        *,
        depth_weight: Weight = 1.0,
        keypoint_weight: Weight = 100.0,
        channel_weight: Weight = 20.0,  # 10 in the release with class-balanced sampling
        keypoints: Annotated[int, Field(ge=2)] = 24,  # per side of a box
        enlarge_m: NotNegative = 1.6,  # added on every side of a box
        channel_norm: bool = False,  # on: the channel adapter's bias becomes a batch norm
    ) -> None:
        super().__init__()
        self.depth_weight, self.keypoint_weight = depth_weight, keypoint_weight
        self.channel_weight, self.channel_norm = channel_weight, channel_norm
        self.keypoints, self.enlarge_m = keypoints, enlarge_m

    def bind(self, student_shapes: Mapping[str, Shape], teacher_shapes: Mapping[str, Shape]) -> None:
        """Create the channel adapter; relations between keypoints need none, whatever the widths."""
        student, teacher = student_shapes["head"][0], teacher_shapes["neck"][0]
        conv = nn.Conv1d(student, teacher, 1, bias=not self.channel_norm)
        self.adapter = nn.Sequential(conv, nn.BatchNorm1d(teacher)) if self.channel_norm else conv

    def losses(self, pair: FeaturePair) -> dict[str, Tensor]:
        student_KCP = self.sampled(pair.student_BCHW["head"], pair)
        teacher_KTP = self.sampled(pair.teacher_BCHW["neck"], pair)
        keypoint = relation_loss(student_KCP.mT, teacher_KTP.mT)
        channel = relation_loss(self.adapter(student_KCP), teacher_KTP)
        return {
            "inner_depth": self.depth_weight * inner_depth_loss(pair.depth),
            "inter_keypoint": self.keypoint_weight * keypoint,
            "inter_channel": self.channel_weight * channel,
        }

    def sampled(self, feature_BCHW: Tensor, pair: FeaturePair) -> Tensor:
        return keypoint_features(feature_BCHW, pair.boxes_K9, pair.grid, self.keypoints, self.enlarge_m)
