"""What every distillation method shares: input, frozen teacher, float32 arithmetic, head inheritance.

A method is one file with one subclass of Distiller; the keywords of its constructor are its YAML keys.
Axes: B batch, C channels, H W BEV rows (y) and columns (x), K boxes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from dualdistill.distill.inputs import FeaturePair, Shape
from dualdistill.errors import UserError
from dualdistill.models.center_head import Head


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

    def prepare(self, student_head: Head, teacher_head: Head) -> None:
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


def inherit_task_heads(student_head: Head, teacher_head: Head) -> None:
    """The student's task heads start as the teacher's; the shared conv cannot, its inputs differ."""
    try:
        student_head.layers.task_heads.load_state_dict(teacher_head.layers.task_heads.state_dict())
    except RuntimeError as mismatch:
        raise UserError(
            "the student's task heads cannot start from the teacher's, their shapes differ",
            where="inherit_head",
            hint="give both heads the same share_channels, or set inherit_head: false",
        ) from mismatch
