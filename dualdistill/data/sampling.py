"""Order of a split's samples in an epoch: a plain shuffle, or class-balanced with repeats (CBGS).

An order depends on the split, the seed and the epoch alone, so all variants of a seed get the same batches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dualdistill.config.nuscenes import CLASSES
from dualdistill.data.index import Index
from dualdistill.seeding import seed_for


def epoch_order(index: Index, split: str, *, seed: int, epoch: int, cbgs: bool) -> NDArray[np.int64]:
    """Positions within the split (0 is its first sample), shuffled."""
    generator = np.random.default_rng(seed_for(seed, "order", epoch))
    if cbgs:
        return balanced(class_presence(index, split), generator)
    return generator.permutation(len(index.samples(split)))


def class_presence(index: Index, split: str) -> NDArray[np.bool_]:
    """Whether a sample contains a box of a class that holds a point, [positions, classes]."""
    samples = index.samples(split)
    row_of_sample = np.full(len(index.sample_token), -1)
    row_of_sample[samples] = np.arange(len(samples))
    row = np.repeat(row_of_sample, np.diff(index.annotation_offset))
    keep = index.has_points() & (row >= 0)
    present = np.zeros((len(samples), len(CLASSES)), dtype=bool)
    present[row[keep], index.annotation_label[keep]] = True
    return present


def balanced(present: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.int64]:
    """CBGS: every class draws, with replacement, an equal share of the sum of all classes' sample lists.

    A class without samples draws nothing and the others share equally (the published code divides by zero);
    samples without boxes are never drawn, as published.
    """
    listed = present.sum(axis=0)
    classes = np.flatnonzero(listed)
    if len(classes) == 0:
        return generator.permutation(len(present))
    share = int(listed.sum() / len(classes))
    drawn = [generator.choice(np.flatnonzero(present[:, label]), share) for label in classes]
    return generator.permutation(np.concatenate(drawn))
