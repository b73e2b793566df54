"""Alignments: small networks that map a student's features to the channels and size of the teacher's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn

from dualdistill.distill.alignment.aoa import AOA, PROJECTIONS, OrthogonalOnly
from dualdistill.distill.alignment.upsample_conv import OneByOne, UpsampleConv
from dualdistill.distill.inputs import Shape
from dualdistill.errors import UserError


def build(name: str, student: Shape, teacher: Shape, *, out_act: str = "none") -> nn.Module:
    """An alignment by its YAML name; `out_act` does not apply to upsample_conv3."""
    if name in PROJECTIONS:
        return AOA(student, teacher, out_act=out_act, projection=name)
    if name == "orthogonal":
        return OrthogonalOnly(student, teacher, out_act=out_act)
    if name == "upsample_conv3":
        return UpsampleConv(student, teacher)
    hint = "aoa, aoa_released, its halves attention and orthogonal, or upsample_conv3"
    raise UserError(f"unknown alignment '{name}'", where="alignment", hint=hint)


def adapters(
    name: str,
    levels: Iterable[tuple[str, str]],
    student: Mapping[str, Shape],
    teacher: Mapping[str, Shape],
    *,
    out_act: str = "none",
) -> nn.ModuleDict:
    """One adapter per level, by student tap: the named alignment, and a 1x1 conv at the head level."""
    return nn.ModuleDict(
        {
            tap: OneByOne(student[tap], teacher[target])
            if tap == "head"
            else build(name, student[tap], teacher[target], out_act=out_act)
            for tap, target in levels
        }
    )


__all__ = ["AOA", "OneByOne", "OrthogonalOnly", "UpsampleConv", "adapters", "build"]
