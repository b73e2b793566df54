"""The spread over students: a two-way model (row, seed) in each group of rows, pooled over a backbone.

Rows of a group share backbone and teacher, and so the luck of a seed. Axes: R rows, S seeds, NaN where a row
lacks a seed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Array = NDArray[np.float64]
Scores = Mapping[str, Mapping[int, float]]  # row -> seed -> score
Groups = Mapping[str, tuple[str, str]]  # row -> backbone and teacher
ENOUGH_ROWS = 3  # in a group of two, the residuals of both rows mirror each other


@dataclass(frozen=True)
class Spread:
    """The residual variance of a backbone, and how far it speaks for a single contrast."""

    variance: float
    freedom: float
    prior_freedom: float  # infinite: rows differ no more than by chance, so that the variance is pooled
    prior_variance: float

    def moderated(self, own: float, own_freedom: int) -> tuple[float, float]:
        """Variance of a contrast with `own` estimate, and its degrees of freedom (Smyth 2004)."""
        if math.isinf(self.prior_freedom):
            return self.variance, self.freedom
        freedom = self.prior_freedom + own_freedom
        moderated = (self.prior_freedom * self.prior_variance + own_freedom * own) / freedom
        return moderated, min(freedom, self.freedom)


def of_backbones(scores: Scores, groups: Groups) -> dict[str, Spread]:
    """The spread of every backbone that has a group of rows with seeds in common."""
    squares: defaultdict[str, list[Array]] = defaultdict(list)
    freedoms: defaultdict[str, list[Array]] = defaultdict(list)
    for (backbone, _), rows in members(groups).items():
        square_R, freedom_R = residuals([scores[row] for row in rows if scores.get(row)])
        squares[backbone].append(square_R)
        freedoms[backbone].append(freedom_R)
    spreads = {}
    for backbone, parts in squares.items():
        square, freedom = (sum(float(part.sum()) for part in each) for each in (parts, freedoms[backbone]))
        if freedom < 0.5:
            continue
        enough = [number for number, part in enumerate(parts) if len(part) >= ENOUGH_ROWS]
        square_R = np.concatenate([np.empty(0), *(parts[number] for number in enough)])
        freedom_R = np.concatenate([np.empty(0), *(freedoms[backbone][number] for number in enough)])
        known = freedom_R > 0.5
        prior = fit_prior(square_R[known] / freedom_R[known], freedom_R[known])
        spreads[backbone] = Spread(square / freedom, freedom, *prior)
    return spreads


def members(groups: Groups) -> dict[tuple[str, str], list[str]]:
    """The rows of each group."""
    rows: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for row, group in groups.items():
        rows[group].append(row)
    return dict(rows)


def residuals(rows: Sequence[Mapping[int, float]]) -> tuple[Array, Array]:
    """Sum of squared residuals of each row in the model row + seed, and its degrees of freedom [R]."""
    seeds = sorted({seed for row in rows for seed in row})
    cells = [(place, seeds.index(seed)) for place, row in enumerate(rows) for seed in row]
    if not cells:
        return np.zeros(0), np.zeros(0)
    row_N, seed_N = np.array(cells).T
    score_N = np.array([score for row in rows for score in row.values()])
    design = np.zeros((len(cells), len(rows) + len(seeds)))
    design[np.arange(len(cells)), row_N] = 1
    design[np.arange(len(cells)), len(rows) + seed_N] = 1
    basis, size, _ = np.linalg.svd(design, full_matrices=False)
    basis = basis[:, size > 1e-9 * size[0]]  # rows and seeds share a constant
    residual_N = score_N - basis @ (basis.T @ score_N)
    free_N = 1 - (basis**2).sum(axis=1)
    return tuple(np.bincount(row_N, each, len(rows)) for each in (residual_N**2, free_N))  # type: ignore[return-value]


def fit_prior(variance_R: Array, freedom_R: Array) -> tuple[float, float]:
    """Prior degrees of freedom and variance, by the moments of the logarithms (Smyth 2004, section 6.2).

    Infinite where the variances differ no more than chance explains.
    """
    if len(variance_R) < ENOUGH_ROWS or not variance_R.max() > 0:
        return math.inf, math.nan
    half = freedom_R / 2
    # detectors that find nothing scatter by nothing at all, and zero has no logarithm
    log_R = np.log(np.maximum(variance_R, 1e-5 * np.median(variance_R[variance_R > 0])))
    log_R = log_R - special.digamma(half) + np.log(half)
    excess = float(log_R.var(ddof=1) - special.polygamma(1, half).mean())
    if excess <= 0:
        return math.inf, math.nan
    # trigamma falls from about 1/x² to 1/x, so these bounds hold its inverse
    bounds = min(1 / math.sqrt(excess), 1 / excess) / 2, 1 + 2 / excess + 2 / math.sqrt(excess)
    inverse = float(optimize.brentq(lambda x: special.polygamma(1, x) - excess, *bounds))
    log_prior = float(log_R.mean()) + float(special.digamma(inverse)) - math.log(inverse)
    return 2 * inverse, math.exp(log_prior)
