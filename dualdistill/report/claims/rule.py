"""The rule of config/claims.yaml as arithmetic: intervals, p values, verdicts.

An estimate is an effect with independent parts of its variance, each with degrees of freedom of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import optimize, special

POWER = 0.8
GRID = 500  # points of the distribution of an estimated standard deviation
Verdict = Literal["supported", "contradicted", "no effect beyond the margin", "undecided"]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """A variance with its degrees of freedom."""

    variance: float
    freedom: float


@dataclass(frozen=True)
class Estimate:
    """The effect of a contrast, in points."""

    effect: float
    seeds: int
    students: tuple[Part, ...] = ()  # empty with one seed
    frames: Part | None = None  # None where the draws of scenes are unknown
    scenes: int = 0
    method: str = ""  # of the variance over students

    @property
    def these_frames(self) -> Part | None:
        """The variance over other students, on these frames."""
        return total(self.students) if self.students else None

    @property
    def other_frames(self) -> Part | None:
        """The variance over other students on other frames, by which verdicts are given."""
        return total((*self.students, self.frames)) if self.students and self.frames else None

    @property
    def lacks(self) -> str:
        """The reason why no verdict is possible; empty if one is."""
        if not self.students:
            return "one seed"
        return "" if self.frames else "no draws of several scenes"


def total(parts: Sequence[Part]) -> Part:
    """The sum of variances, with Satterthwaite's degrees of freedom."""
    variance = sum(part.variance for part in parts)
    if variance <= 0:
        return Part(0.0, min(part.freedom for part in parts))
    return Part(variance, variance**2 / sum(part.variance**2 / part.freedom for part in parts))


def interval(effect: float, part: Part | None, level: float) -> Interval | None:
    """Student's t interval."""
    if part is None:
        return None
    half = float(special.stdtrit(part.freedom, (1 + level) / 2)) * math.sqrt(part.variance)
    return effect - half, effect + half


def p_value(effect: float, part: Part) -> float:
    """Two-sided p value of no effect."""
    if part.variance == 0:
        return float(effect == 0)
    return float(2 * special.stdtr(part.freedom, -abs(effect) / math.sqrt(part.variance)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values by Holm (1979), in the given order."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def smallest_found(part: Part, error: float) -> float:
    """The true effect that a two-sided t test with this probability of error finds with 80 % power."""
    quantile = float(special.stdtrit(part.freedom, 1 - error / 2))
    # the noncentral t as a mixture of normals over the estimated standard deviation: scipy's has gaps
    share = (np.arange(GRID) + 0.5) / GRID
    reach = quantile * np.sqrt(special.chdtri(part.freedom, 1 - share) / part.freedom)

    def power(shift: float) -> float:
        return float(np.mean(special.ndtr(shift - reach) + special.ndtr(-shift - reach)))

    shift = optimize.brentq(lambda shift: power(shift) - POWER, 0.0, float(reach[-1]) + 5)
    return float(shift) * math.sqrt(part.variance)


@dataclass(frozen=True)
class Judged:
    """A claim's endpoint with its verdict."""

    verdict: Verdict
    p: float | None = None
    holm_p: float | None = None
    lacks: str = ""  # why no verdict was possible
    test: tuple[Part, float] | None = None  # of an undecided claim: its variance and probability of error

    @property
    def smallest_found(self) -> float | None:
        """The smallest true effect that an undecided claim would have found."""
        return smallest_found(*self.test) if self.test else None


def judge(estimates: Sequence[Estimate | None], level: float, margin: float) -> list[Judged]:
    """The verdicts on the endpoints of all claims; None is a claim that lacks a run."""
    parts = [estimate.other_frames if estimate else None for estimate in estimates]
    p_values = [
        p_value(estimate.effect, part) if estimate and part else 1.0
        for estimate, part in zip(estimates, parts, strict=True)
    ]
    adjusted, error = holm(p_values), 1 - level
    left = error / max(1, sum(p >= error for p in adjusted))
    judged = []
    for estimate, part, p, holm_p in zip(estimates, parts, p_values, adjusted, strict=True):
        if estimate is None or part is None:
            judged.append(Judged("undecided", lacks=estimate.lacks if estimate else "missing runs"))
        elif holm_p < error:
            judged.append(Judged("supported" if estimate.effect > 0 else "contradicted", p, holm_p))
        elif _within(interval(estimate.effect, part, 1 - 2 * error), margin):
            judged.append(Judged("no effect beyond the margin", p, holm_p))
        else:
            judged.append(Judged("undecided", p, holm_p, test=(part, left)))
    return judged


def _within(ends: Interval | None, margin: float) -> bool:
    return ends is not None and -margin < ends[0] and ends[1] < margin


def smallest(effects: Sequence[float], parts: Sequence[Part | None], level: float) -> Interval | None:
    """An interval for the smallest of several effects, however they depend on each other.

    The smallest true effect is that of one pair, so it lies above the least lower end unless that pair's
    interval misses; and it lies below every upper end unless one of them misses, hence the division.
    """
    strict = 1 - (1 - level) / len(parts)
    lows, highs = (
        [interval(effect, part, each) for effect, part in zip(effects, parts, strict=True)]
        for each in (level, strict)
    )
    if not all(lows):
        return None
    return min(ends[0] for ends in lows if ends), min(ends[1] for ends in highs if ends)


def side(ends: Interval | None) -> Verdict:
    """The verdict on a conjunction: on which side of zero its interval lies."""
    if ends is None:
        return "undecided"
    if ends[0] > 0:
        return "supported"
    return "contradicted" if ends[1] < 0 else "undecided"
