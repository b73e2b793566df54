"""Upsample-Conv x3, the alignment of DistillBEV, and the 1x1 conv of the head level.

Axes: B batch, C channels, H W BEV rows and columns.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from dualdistill.distill.inputs import Shape
from dualdistill.errors import UserError


class UpsampleConv(nn.Module):
    """Bilinear upsampling, then three blocks of 1x1 conv, batch norm and ReLU with C-C-C-C_T channels."""

    def __init__(self, student: Shape, teacher: Shape) -> None:
        super().__init__()
        self.size_HW = teacher[1:]
        inputs = student[0]
        outputs = (inputs, inputs, teacher[0])
        self.convs = nn.Sequential(*(self.block(inputs, channels) for channels in outputs))

    @staticmethod
    def block(inputs: int, outputs: int) -> nn.Sequential:
        # no bias, since the batch norm would subtract it
        return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())

    def forward(self, student_BCHW: Tensor) -> Tensor:
        return self.convs(upsample(student_BCHW, self.size_HW))


def upsample(feature_BCHW: Tensor, size_HW: tuple[int, int]) -> Tensor:
    """Bilinear upsampling with aligned corners."""
    return functional.interpolate(feature_BCHW, size=size_HW, mode="bilinear", align_corners=True)


class OneByOne(nn.Conv2d):
    """A 1x1 conv with bias; both maps must have the same cells."""

    def __init__(self, student: Shape, teacher: Shape) -> None:
        if student[1:] != teacher[1:]:
            raise UserError(
                f"the head level has {student[1:]} cells in the student and {teacher[1:]} in the teacher",
                where="alignment",
                hint="give both models the same BEV grid",
            )
        super().__init__(student[0], teacher[0], kernel_size=1)
