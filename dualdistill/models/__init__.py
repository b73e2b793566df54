"""Detectors: build(spec) makes the student or the teacher of a run.

A detector offers forward(batch) -> Output, losses(output, batch), decode(output, batch) and tap_shapes().
Its weights are drawn from torch's global generator in a fixed order that depends on spec.model and spec.grid
only, so runs that differ in their distillation start from the same student.
"""

from __future__ import annotations

from importlib import import_module
from math import log2

from dualdistill.config.run_spec import GridSpec, RunSpec, StudentSpec, TeacherSpec
from dualdistill.errors import UserError
from dualdistill.models.bevdepth.student import BEVDepth
from dualdistill.models.centerpoint.teacher import Teacher
from dualdistill.models.classifier import Classifier
from dualdistill.models.label_encoder import LabelEncoder
from dualdistill.models.student import Student

Detector = Student | Teacher
STUDENTS: dict[str, type[Student]] = {"bevdepth": BEVDepth}  # beside the files of one class in this folder
BEV_STRIDE = 8  # of the student's deepest map

__all__ = ["Classifier", "Detector", "LabelEncoder", "Student", "Teacher", "build"]


def build(spec: RunSpec) -> Detector:
    """The run's detector with fresh weights."""
    _check_grid(spec.grid)
    if isinstance(spec.model, TeacherSpec):
        _check_pillars(spec.model, spec.grid)
        return Teacher(spec.model, spec.grid)
    if isinstance(spec.model, StudentSpec):
        return _student_class(spec.model.network)(spec.model, spec.grid)
    raise UserError(f"a run of kind '{spec.kind}' has no detector", hint="choose a student or teacher run")


def _student_class(network: str) -> type[Student]:
    """The class of a student: one of STUDENTS, or the one that the file of this name defines."""
    if network in STUDENTS:
        return STUDENTS[network]
    members = vars(import_module(f"{__name__}.{network}")).values()
    kinds = (kind for kind in members if isinstance(kind, type) and issubclass(kind, Student))
    return next(kind for kind in kinds if kind is not Student)


def _check_grid(grid: GridSpec) -> None:
    covered_m = grid.cells * grid.cell_m
    if abs(covered_m - 2 * grid.half_extent_m) > 1e-6 * covered_m or grid.cells % BEV_STRIDE:
        raise UserError(
            f"+-{grid.half_extent_m} m are not a multiple of {BEV_STRIDE} cells of {grid.cell_m} m",
            where="grid",
            hint="for example half_extent_m 51.2 with cell_m 0.8, 1.6 or 3.2",
        )


def _check_pillars(teacher: TeacherSpec, grid: GridSpec) -> None:
    doublings = log2(grid.cell_m / teacher.pillar_m)
    if doublings < 0 or abs(doublings - round(doublings)) > 1e-6:
        raise UserError(
            f"pillars of {teacher.pillar_m} m do not fit cells of {grid.cell_m} m",
            where="teacher.pillar_m",
            hint="a cell must be 1, 2, 4 or 8 pillars wide",
        )
