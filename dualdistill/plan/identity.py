"""What runs and data are called: in words what they are, in ten digits all of it."""

from __future__ import annotations

from dualdistill.config.run_spec import (
    ClassifierSpec,
    DataSpec,
    DistillSpec,
    LabelEncoderSpec,
    MVPSpec,
    RunSpec,
    StudentSpec,
    TeacherSpec,
    VirtualSpec,
    contents,
)
from dualdistill.store.files import sha_of

DIGITS = 10

# Versions of what a stage computes: raise one when the same inputs give another result than before. They are
# part of the hashes that name data folders, runs and jobs, so a raised number makes exactly those results
# anew that depend on it. Reformatting or speeding up code raises nothing.
WORLD = 1  # the synthetic world's content for a given WorldSpec
INDEX = 1  # what is read from the tables
CACHE = 1  # decoding of images and points
MASKS = 1  # instance masks, as a student's method is given them
VIRTUAL = 1  # masks and the virtual points from them
TRAIN = 2  # models, losses, methods, crops, augmentation, optimisation
PREDICT = 1  # decoding of the test split into boxes
EVALUATE = 1  # what surrounds the official evaluation


def label(spec: RunSpec) -> str:
    """What a run is called, from what it is."""
    if isinstance(spec.model, ClassifierSpec):
        return f"pretrain-r{spec.model.depth}"
    if isinstance(spec.model, LabelEncoderSpec) and spec.teacher:
        return f"labels-{label(spec.teacher)}"
    if isinstance(spec.model, TeacherSpec):
        return spec.model.network
    assert isinstance(spec.model, StudentSpec)  # nothing else is left
    student = f"r{spec.model.depth}"
    if spec.kind == "detector":
        return f"detector-{student}"
    if spec.distill is None or spec.teacher is None:
        return f"{spec.model.network}-{student}"
    return f"{spec.distill.method}-{student}-{label(spec.teacher)}"


def run_id(spec: RunSpec) -> str:
    return f"{label(spec)}-s{spec.seed}-{spec.sha[:DIGITS]}"


def data_id(data: DataSpec) -> str:
    return f"{data.name}-{sha_of({'data': contents(data), 'versions': of_data(data)})[:DIGITS]}"


def virtual_id(virtual: VirtualSpec) -> str:
    """The folder of virtual points beside the index that they were made with."""
    return f"virtual-{sha_of({'virtual': contents(virtual), 'version': VIRTUAL})[:DIGITS]}"


def of_data(data: DataSpec) -> dict[str, int]:
    """What a data folder depends on; only the synthetic world has a world version."""
    versions = {"index": INDEX, "cache": CACHE}
    return versions if data.world is None else {"world": WORLD, **versions}


def of_training(data: DataSpec, model: object = None, distill: DistillSpec | None = None) -> dict[str, int]:
    """Of a run; virtual points and masks count where it is fed with them."""
    virtual = {"virtual": VIRTUAL} if isinstance(model, MVPSpec) else {}
    masks = {"masks": MASKS} if distill and distill.masks else {}
    return {**of_data(data), **virtual, **masks, "train": TRAIN}
