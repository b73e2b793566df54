"""The base class of all methods: frozen teacher, float32 arithmetic, head inheritance.

A method is one file with one subclass of Distiller; the keywords of its constructor are its YAML keys.
Axes: B batch, C channels, H W BEV rows (y) and columns (x), K boxes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dualdistill.distill.inputs import FeaturePair, Shape, TeacherFrames
from dualdistill.errors import UserError
from dualdistill.models.center_head import Head


class Distiller(nn.Module, ABC):
    """A distillation method: `bind` creates its adapters, a call returns weighted losses by name.

    The class attributes below are read from a method's file without importing it (method_options.trait).
    """

    reconstruction: ClassVar[bool] = False  # True: neither code nor text was available; every table marks it
    masks_option: ClassVar[str | None] = None  # the option that switches instance masks on
    label_encoder: ClassVar[bool] = False  # True: a label encoder is trained for its teacher

    def __init__(self, *, inherit_head: bool = False) -> None:
        super().__init__()
        self.inherit_head = inherit_head

    def bind(self, student_shapes: Mapping[str, Shape], teacher_shapes: Mapping[str, Shape]) -> None:
        """Create the layers that depend on the shapes of the taps, if there are any.

        The student's feature map of one image is the tap `image`.
        """

    def prepare(self, student_head: Head, teacher_head: Head) -> None:
        """Change the student's head before the first step."""
        if self.inherit_head:
            inherit_task_heads(student_head, teacher_head)

    def forward(self, pair: FeaturePair) -> dict[str, Tensor]:
        # Sums over up to 384 x 128 x 128 entries overflow in half precision, as do Householder products.
        pair.teacher_head.eval()
        pair.teacher_head.requires_grad_(False)
        with torch.autocast(pair.occupied_BYX.device.type, enabled=False):
            return self.losses(pair.sealed())

    @torch.no_grad()
    def targets(self, frames: TeacherFrames) -> tuple[Any, ...]:
        """The result of `frame_targets`, computed now if it is not kept."""
        if frames.targets is not None:
            return frames.targets
        with torch.autocast(frames.occupied_BYX.device.type, enabled=False):
            return self.frame_targets(frames.sealed())

    @property
    def reads_teacher(self) -> bool:
        """Whether a loss reads the teacher's maps or predictions; if none does, the teacher is not run."""
        return True

    def frame_targets(self, frames: TeacherFrames) -> tuple[Any, ...]:
        """Derive from the frames, for each sample, all that the losses read from `targets(pair)`.

        Computed once for each frame if the training never changes frames.
        """
        return (None,) * len(frames.boxes_K9)

    @abstractmethod
    def losses(self, pair: FeaturePair) -> dict[str, Tensor]:
        """The weighted terms by name; the pair is in float32 and the teacher's tensors are detached."""


def inherit_task_heads(student_head: Head, teacher_head: Head) -> None:
    """Copy the teacher's task heads into the student; the shared conv has other inputs and stays."""
    try:
        student_head.layers.task_heads.load_state_dict(teacher_head.layers.task_heads.state_dict())
    except RuntimeError as mismatch:
        raise UserError(
            "the student's task heads cannot start from the teacher's, their shapes differ",
            where="inherit_head",
            hint="give both heads the same share_channels, or set inherit_head: false",
        ) from mismatch
