"""Ids of runs and data: a label in words, and ten hex digits of the hash of the full content."""

from __future__ import annotations

from typing import Any

from dualdistill.config.run_spec import (
    ClassifierSpec,
    DataSpec,
    DistillSpec,
    InputSpec,
    LabelEncoderSpec,
    MVPSpec,
    RunSpec,
    StudentSpec,
    TeacherInputSpec,
    TeacherSpec,
    VirtualSpec,
    contents,
)
from dualdistill.store.files import sha_of

DIGITS = 10

# Version of each stage's result: raise it when the same inputs give another result than before. Versions are
# part of the hashes that name data folders, runs and jobs, so raising one recomputes exactly the results that
# depend on it. Reformatting or speeding up code needs no new version.
WORLD = 1  # the synthetic world's content for a given WorldSpec
INDEX = 2  # reading of the tables
CACHE = 1  # decoding of images and points
IMAGES = 1  # resizing of images, in the name of their folder
MASKS = 1  # instance masks given to a student's method
VIRTUAL = 1  # masks and the virtual points made from them
OBJECTS = 1  # cutting of the objects that are pasted
TRAIN = 2  # models, losses, methods, crops, augmentation, optimisation
IMPORT = 1  # the conversion of released checkpoints
PREDICT = 1  # prediction of boxes for the scored split
EVALUATE = 1  # this suite's code around the official evaluation


def label(spec: RunSpec) -> str:
    """The part of a run's id in words, e.g. dualdistill-r50-mvp."""
    if spec.imported:
        return spec.imported
    if isinstance(spec.model, ClassifierSpec):
        return f"pretrain-r{spec.model.depth}"
    if isinstance(spec.model, LabelEncoderSpec) and spec.teacher:
        return f"labels-{label(spec.teacher)}"
    if isinstance(spec.model, TeacherSpec):
        return spec.model.network
    assert isinstance(spec.model, StudentSpec)
    student = f"r{spec.model.depth}"
    if spec.distill is None or spec.teacher is None:
        return f"{spec.model.network}-{student}"
    return f"{spec.distill.method}-{student}-{label(spec.teacher)}"


def run_id(spec: RunSpec) -> str:
    return f"{label(spec)}-s{spec.seed}-{spec.sha[:DIGITS]}"


def data_id(data: DataSpec) -> str:
    return f"{data.printed_name}-{sha_of({'data': contents(data), 'versions': of_data(data)})[:DIGITS]}"


def virtual_id(virtual: VirtualSpec) -> str:
    """Name of the folder of virtual points, which lies beside the index."""
    return f"virtual-{sha_of({'virtual': contents(virtual), 'version': VIRTUAL})[:DIGITS]}"


def images_id(spec: RunSpec) -> str:
    """Name of the folder of the resized images that a run reads, beside the index; empty if it reads none."""
    width = spec.input.decode
    return f"images-{width}-v{IMAGES}" if isinstance(width, int) else ""


def objects_content(spec: RunSpec) -> dict[str, Any]:
    """Everything that the objects pasted for a teacher depend on beside the data."""
    clouds = spec.input
    assert isinstance(clouds, TeacherInputSpec)
    degraded = {"every_ring": clouds.every_ring, "range_noise_m": clouds.range_noise_m}
    virtual = virtual_id(spec.virtual) if spec.virtual else None
    return {"sweeps": clouds.sweeps, **degraded, "virtual": virtual}


def objects_id(spec: RunSpec) -> str:
    """Name of the folder of the objects pasted for a teacher, which lies beside the index."""
    return f"objects-{sha_of({'objects': objects_content(spec), 'version': OBJECTS})[:DIGITS]}"


def of_data(data: DataSpec) -> dict[str, int]:
    """Versions that a data folder depends on; only the synthetic world has a world version."""
    versions = {"index": INDEX, "cache": CACHE}
    return versions if data.world is None else {"world": WORLD, **versions}


def of_training(
    data: DataSpec, model: object = None, distill: DistillSpec | None = None, read: InputSpec | None = None
) -> dict[str, int]:
    """Versions that a run depends on; those of virtual points, objects and masks only if it reads them."""
    objects = {"objects": OBJECTS} if isinstance(read, TeacherInputSpec) and read.paste else {}
    masks = {"masks": MASKS} if distill and distill.masks else {}
    return {**of_data(data), **_of_virtual(model), **objects, **masks, "train": TRAIN}


def of_import(data: DataSpec, model: object) -> dict[str, int]:
    """Versions that an imported run depends on."""
    return {**of_data(data), **_of_virtual(model), "import": IMPORT}


def _of_virtual(model: object) -> dict[str, int]:
    return {"virtual": VIRTUAL} if isinstance(model, MVPSpec) else {}
