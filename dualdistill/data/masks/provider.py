"""Instances of an image: as reported by a segmenter, and in network pixels.

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
    """One object as reported by a segmenter; masks of an image may overlap."""

    label: int  # into CLASSES
    score: float  # 0..1
    mask_HW: Mask  # not empty


class MaskProvider(Protocol):
    """Source of instance masks."""

    index: Index

    def masks(self, record: int) -> list[Instance]:
        """Instances of an image record, in any order, the same in every call."""
        ...


def ranked(instances: Iterable[Instance]) -> list[Instance]:
    """Sort by descending score; the result does not depend on the order of the input."""

    def key(instance: Instance) -> tuple[float, int, bytes]:
        return -instance.score, instance.label, instance.mask_HW.tobytes()

    return sorted(instances, key=key)


def overlap(a_HW: Mask, b_HW: Mask) -> float:
    """Intersection over union; the second mask is not empty."""
    return float((a_HW & b_HW).sum() / (a_HW | b_HW).sum())


def warp_instances(instances: Iterable[Instance], affine_33: Array, size: tuple[int, int]) -> Instances:
    """Warp instances by an image's affine; a pixel belongs to a mask that covers half of it.

    Masks outside the network's image, or too thin for its pixels, are dropped.
    """
    masks, labels, scores = [], [], []
    for instance in instances:
        mask_HW = warp(np.where(instance.mask_HW, np.uint8(255), np.uint8(0)), affine_33, size) > 127
        if mask_HW.any():
            masks.append(mask_HW)
            labels.append(instance.label)
            scores.append(instance.score)
    return Instances(
        torch.from_numpy(np.array(masks, dtype=bool).reshape(-1, *size)),
        torch.tensor(labels, dtype=torch.int64),
        torch.tensor(scores, dtype=torch.float32),
    )
