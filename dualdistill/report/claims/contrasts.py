"""Claims as contrasts: a coefficient for each row, so that every endpoint is one weighted sum of scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dualdistill.plan.tables import Claim, Pair

Contrast = dict[str, float]  # row -> coefficient; they sum to zero


def of_pair(pair: Pair) -> Contrast:
    return mean([{pair.row: 1.0}, {pair.beats: -1.0}], of=1)


def endpoint(claim: Claim) -> Contrast:
    """The mean over the pairs of a claim, or its trend."""
    if claim.trend:
        return mean([slope(rows) for rows in claim.trend])
    return mean([of_pair(pair) for pair in claim.pairs])


def slope(rows: Sequence[str]) -> Contrast:
    """Last minus first row on the straight line that is fitted to equally spaced rows."""
    centred = [place - (len(rows) - 1) / 2 for place in range(len(rows))]
    scale = (len(rows) - 1) / sum(step * step for step in centred)
    return {row: scale * step for row, step in zip(rows, centred, strict=True)}


def mean(contrasts: Sequence[Contrast], of: int = 0) -> Contrast:
    """The mean of several contrasts, or their sum divided by `of`."""
    total: Counter[str] = Counter()
    for contrast in contrasts:
        for row, coefficient in contrast.items():
            total[row] += coefficient / (of or len(contrasts))  # type: ignore[assignment]
    return dict(total)
