"""From metrics as the devkit writes them (0..1) to numbers as the poster prints them (points, one decimal).

Decimal all the way: 0.4145 is 41.5 points, but 0.4145 * 100 in floating point prints 41.4.
Values are rounded once, at the end.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal


@dataclass(frozen=True)
class Score:
    """A metric over seeds, unrounded, in 0..1; a spread needs two seeds, so one seed has none."""

    mean: Decimal
    std: Decimal | None
    n: int

    @staticmethod
    def over_seeds(values: Sequence[float]) -> Score:
        """Mean and sample standard deviation; exact sums, so the order of seeds cannot show."""
        exact = [Decimal(repr(float(value))) for value in values]
        std = statistics.stdev(exact) if len(exact) > 1 else None
        return Score(statistics.mean(exact), std, len(exact))


def span(counts: Sequence[int]) -> str:
    """The least and the most of several counts, in words."""
    fewest, most = min(counts, default=0), max(counts, default=0)
    return f"{most}" if fewest == most else f"{fewest} to {most}"


def points(value: Decimal | None, *, places: int = 1, sign: bool = False) -> str:
    """A metric of 0..1 in points, rounded half up; empty when there is none."""
    return "" if value is None else rounded(value * 100, places=places, sign=sign)


def rounded(value: Decimal, *, places: int = 1, sign: bool = False) -> str:
    """Decimal places as school teaches them, halves away from zero, and no minus in front of zero."""
    number = value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    if number == 0:
        number = abs(number)
    return f"{number:+f}" if sign else f"{number:f}"
