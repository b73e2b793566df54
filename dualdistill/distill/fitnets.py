"""FitNets (ICLR 2015): the student's BEV map imitates the teacher's, with the same weight in every cell.

A control for the methods made for BEV: it has no regions, no attention and no inherited head. The paper gives
this hint in a stage of its own; the default gives it throughout, as in later comparisons.
Axes: B batch, C channels, H W BEV rows and columns.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional

from dualdistill.config.ranges import Share, Weight
from dualdistill.distill.alignment import OneByOne
from dualdistill.distill.base import Distiller
from dualdistill.distill.inputs import FeaturePair, Shape


class FitNets(Distiller):
    """L = w mean (r(F_S) - F_T)^2 on the map in front of the heads."""

    def __init__(
        self,
        *,
        hint_weight: Weight = 100.0,
        hint_until: Share = 1.0,  # share of the training with the hint; the rest is trained without a teacher
    ) -> None:
        super().__init__()
        self.hint_weight, self.hint_until = hint_weight, hint_until

    def bind(self, student_shapes: Mapping[str, Shape], teacher_shapes: Mapping[str, Shape]) -> None:
        """Create the regressor, the same 1x1 conv as at the head level of DistillBEV."""
        self.regressor = OneByOne(student_shapes["head"], teacher_shapes["neck"])

    def losses(self, pair: FeaturePair) -> dict[str, Tensor]:
        hint = functional.mse_loss(self.regressor(pair.student_BCHW["head"]), pair.teacher_BCHW["neck"])
        return {"hint": (self.hint_weight if pair.progress < self.hint_until else 0.0) * hint}
