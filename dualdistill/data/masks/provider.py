"""Instances of an image, as a segmenter reports them and as the network sees them.

Axes: H W image rows and columns, S instances.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from dualdistill.data.augment import warp
from dualdistill.data.batch import Instances
from dualdistill.data.geometry import Array
from dualdistill.data.index import Index

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Instance:
    """One object as a segmenter reports it; masks of an image may overlap."""

    label: int  # into CLASSES
    score: float  # 0..1
    mask_HW: Mask  # not empty


class MaskProvider(Protocol):
    """Says what is in an image."""

    index: Index

    def masks(self, record: int) -> list[Instance]:
        """The instances of an image record, in any order, the same ones every time."""
        ...


def ranked(instances: Iterable[Instance]) -> list[Instance]:
    """Best score first, in an order that does not depend on the one they came in."""
    return sorted(instances, key=lambda one: (-one.score, one.label, one.mask_HW.tobytes()))


def overlap(one_HW: Mask, other_HW: Mask) -> float:
    """Intersection over union; the second mask is not empty."""
    return float((one_HW & other_HW).sum() / (one_HW | other_HW).sum())


def as_seen(found: Iterable[Instance], affine_33: Array, size: tuple[int, int]) -> Instances:
    """The instances through an image's affine; a pixel belongs to a mask that covers half of it.

    What lies outside of the network's image, or is too thin for its pixels, is dropped.
    """
    masks, labels, scores = [], [], []
    for one in found:
        mask_HW = warp(np.where(one.mask_HW, np.uint8(255), np.uint8(0)), affine_33, size) > 127
        if mask_HW.any():
            masks.append(mask_HW)
            labels.append(one.label)
            scores.append(one.score)
    return Instances(
        torch.from_numpy(np.array(masks, dtype=bool).reshape(-1, *size)),
        torch.tensor(labels, dtype=torch.int64),
        torch.tensor(scores, dtype=torch.float32),
    )
