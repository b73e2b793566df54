"""The input of a method: one batch as both detectors see it.

Axes: B batch, C channels, H W BEV rows (y) and columns (x), N cameras, h w cells of an image's map, K boxes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from torch import Tensor

from dualdistill.config.run_spec import GridSpec
from dualdistill.data.batch import ImageDepth, Instances
from dualdistill.models.center_head import Head

Shape = tuple[int, int, int]  # C, H, W of a tap
Predictions = list[dict[str, Tensor]]  # raw outputs of a head, one dict per task
LEVELS = (("s2", "t2"), ("s3", "t3"), ("head", "neck"))  # student tap -> the teacher tap it imitates


@dataclass(frozen=True, kw_only=True)
class TeacherFrames:
    """The side of a batch that depends on its frames alone: the frozen teachers' outputs and the boxes."""

    teacher_BCHW: dict[str, Tensor]  # taps t1 t2 t3 neck
    label_BCHW: dict[str, Tensor]  # likewise from a label encoder; empty unless the method sets label_encoder
    teacher_predictions: Predictions  # heatmaps as logits, vel in m/s
    occupied_BYX: Tensor  # pillars of the teacher's canvas that are not empty
    boxes_K9: tuple[Tensor, ...]
    labels_K: tuple[Tensor, ...]
    grid: GridSpec
    teacher_head: Head
    targets: tuple[Any, ...] | None = None  # what the method's frame_targets returned, one per sample

    def sealed(self) -> Self:
        """A copy in float32 with the teacher's tensors detached."""
        return replace(
            self,
            teacher_BCHW={tap: feature.detach().float() for tap, feature in self.teacher_BCHW.items()},
            label_BCHW={tap: feature.detach().float() for tap, feature in self.label_BCHW.items()},
            teacher_predictions=[
                {name: tensor.detach().float() for name, tensor in task.items()}
                for task in self.teacher_predictions
            ],
        )


@dataclass(frozen=True, kw_only=True)
class FeaturePair(TeacherFrames):
    """One batch as both detectors see it."""

    student_BCHW: dict[str, Tensor]  # taps s0 s1 s2 s3 head
    student_predictions: Predictions  # heatmaps as logits, vel in m
    image_BNChw: Tensor  # the student's feature map of its current images, before the lift
    instances: tuple[
        tuple[Instances, ...], ...
    ]  # of these images, B x N; () unless switched on by masks_option
    history_s_B: Tensor | None  # age of the student's previous frame
    depth: ImageDepth
    progress: float  # share of the training done: 0 at the first step, (total - 1) / total at the last

    def sealed(self) -> Self:
        """A copy in float32 with the teacher's tensors detached."""
        return replace(
            super().sealed(),
            student_BCHW={tap: feature.float() for tap, feature in self.student_BCHW.items()},
            student_predictions=[
                {name: tensor.float() for name, tensor in task.items()} for task in self.student_predictions
            ],
            image_BNChw=self.image_BNChw.float(),
            depth=replace(self.depth, logits_BNDhw=self.depth.logits_BNDhw.float()),
        )
