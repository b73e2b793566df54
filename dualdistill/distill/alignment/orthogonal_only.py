"""AOA without its attention: the orthogonal map alone, on the student's map as it is.

Axes: B batch, N cells as tokens, C student channels, T teacher channels, H W BEV rows and columns.
"""

from __future__ import annotations

from torch import Tensor, nn

from dualdistill.distill.alignment.aoa import tokens
from dualdistill.distill.alignment.orthogonal import OrthogonalProjection
from dualdistill.distill.alignment.upsample_conv import upsample
from dualdistill.distill.pair import Shape


class OrthogonalOnly(nn.Module):
    """s * (W F) + b per position, upsampled; all positions keep their place."""

    def __init__(self, student: Shape, teacher: Shape, *, out_act: str = "none") -> None:
        super().__init__()
        self.size_HW = teacher[1:]
        self.project = OrthogonalProjection(student[0], teacher[0])
        self.out_act = nn.ReLU() if out_act == "relu" else nn.Identity()

    def forward(self, student_BCHW: Tensor) -> Tensor:
        mapped_BNT = self.project(tokens(student_BCHW))
        aligned_BTHW = mapped_BNT.transpose(1, 2).unflatten(2, student_BCHW.shape[2:])
        return self.out_act(upsample(aligned_BTHW, self.size_HW))
