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

from dualdistill.data.augment import shrinking, warp
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


def cut(mask_HW: Mask) -> tuple[NDArray[np.int64], Mask]:
    """The smallest box around a mask, and the mask in it."""
    rows = np.flatnonzero(mask_HW.any(axis=1))
    columns = np.flatnonzero(mask_HW[rows[0] : rows[-1] + 1].any(axis=0))
    box_4 = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    return box_4, mask_HW[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def warp_instances(instances: Iterable[Instance], affine_33: Array, size: tuple[int, int]) -> Instances:
    """Warp instances by an image's affine; a pixel belongs to a mask that covers half of it.

    Masks outside the network's image, or too thin for its pixels, are dropped.
    """
    boxes, parts, labels, scores = [], [np.zeros(0, dtype=bool)], [], []
    for instance in instances:
        top, inside_hW = _warped(instance.mask_HW, affine_33, size)
        if inside_hW.any():
            box_4, cut_hw = cut(inside_hW)
            boxes.append(np.add(box_4, (0, top, 0, top)))
            parts.append(cut_hw.ravel())
            labels.append(instance.label)
            scores.append(instance.score)
    return Instances(
        size,
        torch.from_numpy(np.array(boxes, dtype=np.int64).reshape(-1, 4)),
        torch.from_numpy(np.concatenate(parts)),
        torch.tensor(labels, dtype=torch.int64),
        torch.tensor(scores, dtype=torch.float32),
    )


def _warped(mask_HW: Mask, affine_33: Array, size: tuple[int, int]) -> tuple[int, Mask]:
    """Rows of the network's image that a mask may cover, and the first of them: most are empty."""
    (left, top, right, bottom), _ = cut(mask_HW)
    reach = 2 * shrinking(affine_33) + 2  # of a pixel that is averaged and interpolated
    corners_42 = [(u, v) for u in (left - reach, right + reach) for v in (top - reach, bottom + reach)]
    row_4 = [affine_33[1] @ (u, v, 1) for u, v in corners_42]
    first = int(np.clip(np.floor(min(row_4)) - 1, 0, size[0]))
    last = int(np.clip(np.ceil(max(row_4)) + 1, first, size[0]))
    if first == last:
        return first, np.zeros((0, size[1]), dtype=bool)
    shifted_33 = affine_33 - np.outer((0, first, 0), affine_33[2])
    return first, warp(mask_HW.view(np.uint8) * np.uint8(255), shifted_33, (last - first, size[1])) > 127
