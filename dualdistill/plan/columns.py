"""Numbers of a run that a table can show: where each is recorded and how it is printed.

Imports nothing heavy, because planning checks the names.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from dualdistill.config.nuscenes import CLASSES

POINT = Decimal("0.01")  # of a metric from 0 to 1


@dataclass(frozen=True)
class Measure:
    """A number of a run."""

    name: str
    # metrics.json, run.json, the teacher's metrics.json, or the sum over all runs trained before this one
    record: Literal["metrics", "run", "teacher", "before"]
    keys: tuple[str, ...]  # path to the number in that record
    unit: Decimal = Decimal(1)  # the number is divided by this to print it
    places: int = 1
    best: Literal["most", "least"] | None = None
    gain: Literal["difference", "ratio"] | None = None  # to the baseline row

    def find(self, record: Any) -> float | None:
        """The number in a record; None if it is missing or undefined."""
        for key in self.keys:
            record = record.get(key) if isinstance(record, dict) else None
        number: float | None = record
        return number


ERRORS = {
    "mATE": "trans_err",
    "mASE": "scale_err",
    "mAOE": "orient_err",
    "mAVE": "vel_err",
    "mAAE": "attr_err",
}
_MEASURES = (
    Measure("mAP", "metrics", ("mean_ap",), POINT, best="most", gain="difference"),
    Measure("NDS", "metrics", ("nd_score",), POINT, best="most", gain="difference"),
    Measure("teacher_mAP", "teacher", ("mean_ap",), POINT),
    Measure("teacher_NDS", "teacher", ("nd_score",), POINT),
    *(Measure(name, "metrics", ("tp_errors", key), places=3, best="least") for name, key in ERRORS.items()),
    *(Measure(f"AP_{name}", "metrics", ("mean_dist_aps", name), POINT, best="most") for name in CLASSES),
    Measure("minutes", "run", ("seconds",), Decimal(60), gain="ratio"),
    Measure("minutes_before", "before", ("seconds",), Decimal(60)),
    Measure("memory_MB", "run", ("peak_memory_mb",), places=0, gain="ratio"),
    Measure("parameters_M", "run", ("parameters", "learner"), Decimal(10**6), places=2),
    Measure("method_parameters_M", "run", ("parameters", "method"), Decimal(10**6), places=2),
)
MEASURES = {measure.name: measure for measure in _MEASURES}
COST = frozenset(measure.name for measure in _MEASURES if measure.record in ("run", "before"))
