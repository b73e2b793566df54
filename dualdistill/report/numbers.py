"""Rounding and averaging: metrics are 0..1 in the devkit's files and points with one decimal in print.

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
    """A number over seeds, unrounded; the standard deviation needs two seeds."""

    mean: Decimal
    std: Decimal | None
    n: int

    @staticmethod
    def over_seeds(values: Sequence[float]) -> Score:
        """Mean and sample standard deviation, from exact sums, so that the order of seeds does not matter."""
        exact = [Decimal(repr(float(value))) for value in values]
        std = statistics.stdev(exact) if len(exact) > 1 else None
        return Score(statistics.mean(exact), std, len(exact))


def span(counts: Sequence[int]) -> str:
    """The smallest and the largest of several counts, in words."""
    fewest, most = min(counts, default=0), max(counts, default=0)
    return f"{most}" if fewest == most else f"{fewest} to {most}"


def points(value: Decimal | None, *, places: int = 1, sign: bool = False) -> str:
    """A metric of 0..1 in points, rounded as `rounded` does; empty for None."""
    return "" if value is None else rounded(value * 100, places=places, sign=sign)


def rounded(value: Decimal, *, places: int = 1, sign: bool = False) -> str:
    """Fixed decimal places, halves rounded away from zero, zero without a minus sign."""
    number = value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    if number == 0:
        number = abs(number)
    return f"{number:+f}" if sign else f"{number:f}"
