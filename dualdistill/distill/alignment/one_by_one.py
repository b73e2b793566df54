"""The head level's alignment: one 1x1 conv with bias, neither norm nor activation."""

from __future__ import annotations

from torch import nn

from dualdistill.distill.pair import Shape
from dualdistill.errors import UserError


class OneByOne(nn.Conv2d):
    """Changes channels only, so both maps must lie on the same cells."""

    def __init__(self, student: Shape, teacher: Shape) -> None:
        if student[1:] != teacher[1:]:
            raise UserError(
                f"the head level has {student[1:]} cells in the student and {teacher[1:]} in the teacher",
                where="alignment",
                hint="give both models the same BEV grid",
            )
        super().__init__(student[0], teacher[0], kernel_size=1)
