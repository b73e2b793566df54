"""DistillBEV (ICCV 2023): imitate the teacher's BEV maps, weighted by region, object size and attention.

DualDistill extends it and shares its feature imitation (terms/mfd.py), regions and adapters. Defaults are the
released values for a BEVDepth4D student.
Axes: B batch, C channels, H W BEV rows and columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor

from dualdistill.config.ranges import Positive, PositiveShare, Weight
from dualdistill.distill import alignment as alignments
from dualdistill.distill.base import Distiller
from dualdistill.distill.inputs import LEVELS, FeaturePair, Shape, TeacherFrames
from dualdistill.distill.terms.mfd import MFD


class DistillBEV(Distiller):
    """L = sum over levels of (L_fg + L_tn + L_sp) + L_fp at the head."""

    def __init__(
        self,
        *,
        mfd_weight: Weight = 1.0,  # multiplies all terms, which grow with channels and objects
        fg_weight: Weight = 6e-3,  # alpha
        tn_weight: Weight = 4e-2,  # beta
        fp_weight: Weight = 6e-2,  # eta'
        spatial_weight: Weight = 2.5e-3,
        fp_threshold: PositiveShare = 0.1,  # false positives: teacher score above, all targets below
        fp_levels: Literal["head", "all", "none"] = "head",  # none: these cells count as background
        tau: Positive = 0.5,  # temperature of both attentions
        student_attention: bool = True,  # off: attention of the teacher only
        regions: bool = True,  # off: each region's weight is spread evenly over the map
        inherit_head: bool = True,
    ) -> None:
        super().__init__(inherit_head=inherit_head)
        self.mfd = MFD(
            weight=mfd_weight,
            fg_weight=fg_weight,
            tn_weight=tn_weight,
            fp_weight=fp_weight,
            spatial_weight=spatial_weight,
            fp_threshold=fp_threshold,
            tau=tau,
            fp_levels=fp_levels,
            by_region=regions,
            student_attention=student_attention,
        )

    def bind(self, student_shapes: Mapping[str, Shape], teacher_shapes: Mapping[str, Shape]) -> None:
        self.adapters = alignments.adapters("upsample_conv3", LEVELS, student_shapes, teacher_shapes)

    def frame_targets(self, frames: TeacherFrames) -> tuple[Any, ...]:
        """The regions of each level."""
        return self.mfd.frame_targets(frames)

    def losses(self, pair: FeaturePair) -> dict[str, Tensor]:
        aligned_BCHW = {tap: adapter(pair.student_BCHW[tap]) for tap, adapter in self.adapters.items()}
        return self.mfd(aligned_BCHW, pair, self.targets(pair))
