"""A teacher's LiDAR made worse, to see what a student owes to its teacher's quality.

What is not degraded keeps the plain InputSpec: these keys, when off, leave no trace in a run's hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dualdistill.building import build
from dualdistill.spec import InputSpec, RunSpec


@dataclass(frozen=True)
class DegradedInputSpec(InputSpec):
    """Input through a LiDAR with fewer rings and noisier ranges, in training as in testing."""

    every_ring: int = 1  # keeps the rings whose number it divides: 4 leaves 8 of 32
    range_noise_m: float = 0.0  # standard deviation, along the ray; the same for a return in every epoch


KEYS = ("every_ring", "range_noise_m")


def input_spec(values: Mapping[str, Any]) -> InputSpec:
    """Degraded where one of the keys is on."""
    if values.get("every_ring", 1) > 1 or values.get("range_noise_m", 0) > 0:
        return build(DegradedInputSpec, values)
    return build(InputSpec, {key: value for key, value in values.items() if key not in KEYS})


def degradation(spec: RunSpec) -> DegradedInputSpec | None:
    """What is wrong with the LiDAR of the run, or of the teacher it learns from."""
    seen = (spec.teacher or spec).input
    return seen if isinstance(seen, DegradedInputSpec) else None
