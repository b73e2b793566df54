"""Versions of what a stage computes. Raise one when the same inputs give another result than before.

They are part of the hashes that name data folders, runs and jobs: a raised number makes exactly those results
anew that depend on it. Reformatting or speeding up code raises nothing.
"""

from __future__ import annotations

from dualdistill.spec import DataSpec, DistillSpec, MaskedDistillSpec, MVPSpec

WORLD = 1  # the synthetic world's content for a given WorldSpec
INDEX = 1  # what is read from the tables
CACHE = 1  # decoding of images and points
MASKS = 1  # instance masks, as a student's method is given them
VIRTUAL = 1  # masks and the virtual points from them
TRAIN = 2  # models, losses, methods, crops, augmentation, optimisation
PREDICT = 1  # decoding of the test split into boxes
EVALUATE = 1  # what surrounds the official evaluation


def of_data(data: DataSpec) -> dict[str, int]:
    """What a data folder depends on; only the synthetic world has a world version."""
    versions = {"index": INDEX, "cache": CACHE}
    return versions if data.world is None else {"world": WORLD, **versions}


def of_training(data: DataSpec, model: object = None, distill: DistillSpec | None = None) -> dict[str, int]:
    """Of a run; virtual points and masks count where it is fed with them."""
    virtual = {"virtual": VIRTUAL} if isinstance(model, MVPSpec) else {}
    masks = {"masks": MASKS} if isinstance(distill, MaskedDistillSpec) else {}
    return {**of_data(data), **virtual, **masks, "train": TRAIN}
