"""DualDistill (BMVC 2025): alignment (AOA), multi-scale feature distillation (MFD), cross-head response
distillation (CRD).

The ablations switch `alignment`, `mfd` and `crd`. Defaults are the released values.
Axes: B batch, C channels, H W BEV rows and columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor

from dualdistill.config.ranges import OpenShare, Positive, PositiveShare, Several, Weight
from dualdistill.distill import alignment as alignments
from dualdistill.distill.base import Distiller
from dualdistill.distill.inputs import LEVELS, FeaturePair, Shape, TeacherFrames
from dualdistill.distill.terms import crd as response
from dualdistill.distill.terms.mfd import MFD
from dualdistill.models.student import displaced, require


class DualDistill(Distiller):
    """L = sum over levels of (L_fg + L_tn + L_sp) + L_fp at the head + L_CRD."""

    def __init__(
        self,
        *,
        alignment: Literal["aoa", "upsample_conv3", "orthogonal", "attention", "aoa_released"] = "aoa",
        aoa_out_act: Literal["none", "relu"] = "none",  # teacher maps are post-ReLU, AOA's output is signed
        mfd: bool = True,
        mfd_levels: Several[Literal["s2", "s3", "head"]] = ("s2", "s3", "head"),
        mfd_weight: Weight = 1.0,  # multiplies all MFD terms, which grow with channels and objects
        fg_weight: Weight = 6e-3,  # alpha
        tn_weight: Weight = 4e-2,  # beta
        fp_weight: Weight = 6e-2,  # eta', head level only
        spatial_weight: Weight = 2.5e-3,
        fp_threshold: PositiveShare = 0.1,  # as in distillbev.py; 1: no false positives
        tau: Positive = 0.5,  # temperature of both attentions
        crd: bool = True,
        crd_weight: Weight = 1.0,
        crd_head: Literal["teacher", "student"] = "teacher",  # student: its own head gets the labels
        labels: Literal[
            "teacher", "gt", "soft"
        ] = "teacher",  # soft: the teacher's raw outputs instead of its boxes
        temperature: Positive = 0.1,
        crd_threshold: OpenShare = 0.1,  # score cut of the pseudo labels, after the temperature
        crd_nms_iou: PositiveShare | None = None,  # of the pseudo labels; null: the teacher's own rules
        rank_by: Literal["sharpened", "logit"] = "sharpened",
        gt_velocity: bool = True,
        inherit_head: bool = True,
    ) -> None:
        super().__init__(inherit_head=inherit_head)
        self.alignment, self.aoa_out_act = alignment, aoa_out_act
        self.crd, self.crd_weight, self.crd_head, self.labels = crd, crd_weight, crd_head, labels
        self.temperature, self.gt_velocity = temperature, gt_velocity
        self.label_rules: dict[str, Any] = {"temperature": temperature, "threshold": crd_threshold}
        self.label_rules |= {"rank_by": rank_by, "nms_iou": crd_nms_iou}
        self.mfd = (
            MFD(
                mfd_levels,
                weight=mfd_weight,
                fg_weight=fg_weight,
                tn_weight=tn_weight,
                fp_weight=fp_weight,
                spatial_weight=spatial_weight,
                fp_threshold=fp_threshold,
                tau=tau,
            )
            if mfd
            else None
        )

    def bind(self, student_shapes: Mapping[str, Shape], teacher_shapes: Mapping[str, Shape]) -> None:
        """Create the adapters of the levels in use; MFD and CRD share that of the head level."""
        taps = set(self.mfd.taps if self.mfd else ())
        if self.crd and self.crd_head == "teacher":
            taps.add("head")
        levels = [level for level in LEVELS if level[0] in taps]
        self.adapters = alignments.adapters(
            self.alignment, levels, student_shapes, teacher_shapes, out_act=self.aoa_out_act
        )

    @property
    def reads_teacher(self) -> bool:
        return self.mfd is not None or (self.crd and self.labels != "gt")

    def frame_targets(self, frames: TeacherFrames) -> tuple[Any, ...]:
        """The regions of MFD's levels and the labels of CRD, None where a term is off or has none."""
        nothing = super().frame_targets(frames)
        regions = self.mfd.frame_targets(frames) if self.mfd else nothing
        labels = zip(*self.crd_labels(frames), strict=True) if self.crd and self.labels != "soft" else nothing
        return tuple(zip(regions, labels, strict=True))

    def losses(self, pair: FeaturePair) -> dict[str, Tensor]:
        aligned_BCHW = {tap: adapter(pair.student_BCHW[tap]) for tap, adapter in self.adapters.items()}
        regions, labels = zip(*self.targets(pair), strict=True)
        losses = self.mfd(aligned_BCHW, pair, regions) if self.mfd else {}
        if self.crd:
            losses["crd"] = self.crd_weight * self.crd_loss(aligned_BCHW, pair, labels)
        return losses

    def crd_loss(self, aligned_BCHW: dict[str, Tensor], pair: FeaturePair, labels: tuple[Any, ...]) -> Tensor:
        displaces = self.crd_head == "student"
        predictions = pair.student_predictions if displaces else pair.teacher_head(aligned_BCHW["head"])
        if self.labels == "soft":
            soft = response.in_displacements(pair) if displaces else pair.teacher_predictions
            return response.soft_crd_loss(pair.teacher_head, predictions, soft, self.temperature)
        boxes_K9, labels_K = zip(*labels, strict=True)
        if displaces:
            boxes_K9 = displaced(boxes_K9, require(pair.history_s_B, "history_s_B"))
        return response.crd_loss(pair.teacher_head, predictions, (boxes_K9, labels_K))

    def crd_labels(self, frames: TeacherFrames) -> response.Labels:
        if self.labels == "gt":
            return response.ground_truth_labels(frames, velocity=self.gt_velocity)
        return response.teacher_labels(frames, **self.label_rules)
