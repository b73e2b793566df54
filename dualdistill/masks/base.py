"""An instance of an image, and what every provider of them offers. Axes: H W image rows and columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dualdistill.data.index import Index

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Instance:
    """One object as a segmenter reports it; masks of an image may overlap."""

    label: int  # into spec.CLASSES
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
