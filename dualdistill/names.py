"""What runs and data are called: in words what they are, in ten digits all of it."""

from __future__ import annotations

from dataclasses import asdict

from dualdistill import versions
from dualdistill.spec import ClassifierSpec, DataSpec, RunSpec, TeacherSpec, VirtualSpec, sha_of

DIGITS = 10


def label(spec: RunSpec) -> str:
    """What a run is called, from what it is."""
    if isinstance(spec.model, ClassifierSpec):
        return f"pretrain-r{spec.model.depth}"
    if isinstance(spec.model, TeacherSpec):
        return spec.model.name
    student = f"r{spec.model.depth}"
    if spec.distill is None or spec.teacher is None:
        return f"bevdepth-{student}"
    return f"{spec.distill.method}-{student}-{label(spec.teacher)}"


def run_id(spec: RunSpec) -> str:
    return f"{label(spec)}-s{spec.seed}-{spec.sha[:DIGITS]}"


def data_id(data: DataSpec) -> str:
    return f"{data.name}-{sha_of({'data': asdict(data), 'versions': versions.of_data(data)})[:DIGITS]}"


def virtual_id(virtual: VirtualSpec) -> str:
    """The folder of virtual points beside the index that they were made with."""
    return f"virtual-{sha_of({'virtual': asdict(virtual), 'version': versions.VIRTUAL})[:DIGITS]}"
