"""What every distillation method shares: input, frozen teacher, float32 arithmetic, head inheritance.

A method is one file with one subclass of Distiller; the keywords of its constructor are its YAML keys.
Axes: B batch, C channels, H W BEV rows (y) and columns (x), K boxes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from dualdistill.batch import Detections, ImageDepth, Instances
from dualdistill.errors import UserError
from dualdistill.spec import GridSpec, HeadSpec

Shape = tuple[int, int, int]  # C, H, W of a tap
LEVELS = (("s2", "t2"), ("s3", "t3"), ("head", "neck"))  # student tap -> the teacher tap it imitates


class DetectionHead(Protocol):
    """The part of a CenterHead that methods use; dualdistill.models.head.Head is one."""

    layers: Any  # mmdet3d's CenterHead, with shared_conv and task_heads
    spec: HeadSpec

    def __call__(self, feature_BCHW: Tensor) -> list[dict[str, Tensor]]: ...

    def loss(
        self, predictions: list[dict[str, Tensor]], boxes_K9: tuple[Tensor, ...], labels_K: tuple[Tensor, ...]
    ) -> dict[str, Tensor]: ...

    def decode(
        self,
        predictions: list[dict[str, Tensor]],
        *,
        temperature: float = 1.0,
        score_threshold: float | None = None,
        rank_by: Literal["sharpened", "logit"] = "sharpened",
    ) -> list[Detections]: ...

    def heatmaps(self, boxes_K9: tuple[Tensor, ...], labels_K: tuple[Tensor, ...]) -> Tensor: ...

    def eval(self) -> Any: ...

    def requires_grad_(self, requires_grad: bool = True) -> Any: ...


@dataclass(frozen=True)
class FeaturePair:
    """One batch as seen by both detectors."""

    student_BCHW: dict[str, Tensor]  # taps s0 s1 s2 s3 head
    teacher_BCHW: dict[str, Tensor]  # taps t1 t2 t3 neck
    label_BCHW: dict[str, Tensor]  # the same of a label encoder; empty unless the method asks for one
    student_predictions: list[dict[str, Tensor]]  # one per task, heatmaps as logits, vel in m
    teacher_predictions: list[dict[str, Tensor]]  # likewise, vel in m/s
    image_BNChw: Tensor  # the student's map of its current images, before it is lifted
    instances: tuple[tuple[Instances, ...], ...]  # of these images, B x N; () unless masks_option asks
    occupied_BYX: Tensor  # pillars of the teacher's canvas that hold something
    boxes_K9: tuple[Tensor, ...]
    labels_K: tuple[Tensor, ...]
    history_s_B: Tensor | None  # age of the student's previous frame
    depth: ImageDepth
    grid: GridSpec
    teacher_head: DetectionHead

    def sealed(self) -> FeaturePair:
        """The same pair in float32, with the teacher's tensors cut from the graph."""
        return replace(
            self,
            student_BCHW={tap: feature.float() for tap, feature in self.student_BCHW.items()},
            teacher_BCHW={tap: feature.detach().float() for tap, feature in self.teacher_BCHW.items()},
            label_BCHW={tap: feature.detach().float() for tap, feature in self.label_BCHW.items()},
            student_predictions=[
                {name: tensor.float() for name, tensor in task.items()} for task in self.student_predictions
            ],
            teacher_predictions=[
                {name: tensor.detach().float() for name, tensor in task.items()}
                for task in self.teacher_predictions
            ],
            image_BNChw=self.image_BNChw.float(),
            depth=replace(self.depth, logits_BNDhw=self.depth.logits_BNDhw.float()),
        )


class Distiller(nn.Module, ABC):
    """A method: `bind` makes its adapters, calling it gives named losses that are already weighted.

    What a class says of itself is read from its file without running it (registry.trait).
    """

    reconstruction: ClassVar[bool] = False  # True: neither code nor text could be read; every table says so
    masks_option: ClassVar[str | None] = None  # the switch of what reads instance masks
    label_encoder: ClassVar[bool] = False  # True: every teacher gets one, trained before the student

    def __init__(self, *, inherit_head: bool = False) -> None:
        super().__init__()
        self.inherit_head = inherit_head

    def bind(self, student_shapes: Mapping[str, Shape], teacher_shapes: Mapping[str, Shape]) -> None:
        """Create what depends on the shapes of the taps; a method without adapters has nothing to do.

        The student's map of an image comes as the tap `image`.
        """

    def prepare(self, student_head: DetectionHead, teacher_head: DetectionHead) -> None:
        """Run once, before the first step."""
        if self.inherit_head:
            inherit_task_heads(student_head, teacher_head)

    def forward(self, pair: FeaturePair) -> dict[str, Tensor]:
        # Sums over up to 384 x 128 x 128 entries overflow in half precision, and so do Householder products.
        pair.teacher_head.eval()
        pair.teacher_head.requires_grad_(False)
        device = next(iter(pair.student_BCHW.values())).device.type
        with torch.autocast(device, enabled=False):
            return self.losses(pair.sealed())

    @abstractmethod
    def losses(self, pair: FeaturePair) -> dict[str, Tensor]:
        """The terms by name, weighted; here everything is float32 and the teacher cut from the graph."""


def inherit_task_heads(student_head: DetectionHead, teacher_head: DetectionHead) -> None:
    """The student's task heads start as the teacher's; the shared conv cannot, its inputs differ."""
    try:
        student_head.layers.task_heads.load_state_dict(teacher_head.layers.task_heads.state_dict())
    except RuntimeError as mismatch:
        raise UserError(
            "the student's task heads cannot start from the teacher's, their shapes differ",
            where="inherit_head",
            hint="give both heads the same share_channels, or set inherit_head: false",
        ) from mismatch
