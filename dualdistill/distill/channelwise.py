"""Channel-wise distillation (ICCV 2021): a channel of the student's BEV map peaks where the teacher's does.

A control for the methods made for BEV: it has no regions and no inherited head. Defaults are the released
values for the feature maps of a detector.
Axes: B batch, C channels, H W BEV rows and columns, P cells of a map.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional

from dualdistill.config.ranges import Positive, Weight
from dualdistill.distill.alignment import OneByOne
from dualdistill.distill.base import Distiller
from dualdistill.distill.inputs import FeaturePair, Shape


class ChannelWise(Distiller):
    """L = w tau^2 mean_c KL(softmax_p F_T / tau || softmax_p r(F_S) / tau) in front of the heads."""

    def __init__(self, *, channel_weight: Weight = 5.0, tau: Positive = 1.0) -> None:
        super().__init__()
        self.channel_weight, self.tau = channel_weight, tau

    def bind(self, student_shapes: Mapping[str, Shape], teacher_shapes: Mapping[str, Shape]) -> None:
        """Create the adapter, the same 1x1 conv as at the head level of DistillBEV."""
        self.adapter = OneByOne(student_shapes["head"], teacher_shapes["neck"])

    def losses(self, pair: FeaturePair) -> dict[str, Tensor]:
        adapted_BCHW = self.adapter(pair.student_BCHW["head"])
        divergence = channel_divergence(adapted_BCHW, pair.teacher_BCHW["neck"], self.tau)
        return {"channelwise": self.channel_weight * divergence}


def channel_divergence(student_BCHW: Tensor, teacher_BCHW: Tensor, tau: float) -> Tensor:
    """tau^2 KL(teacher || student) of the distributions over cells, mean over samples and channels."""
    student_BCP, teacher_BCP = (
        (feature_BCHW.flatten(2) / tau).log_softmax(dim=2) for feature_BCHW in (student_BCHW, teacher_BCHW)
    )
    samples, channels, _ = student_BCP.shape
    divergence = functional.kl_div(student_BCP, teacher_BCP, reduction="sum", log_target=True)
    return tau**2 * divergence / (samples * channels)
