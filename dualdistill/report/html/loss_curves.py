"""What a training's losses did, one small panel each, as SVG paths: no colours to tell apart.

The vertical axis is logarithmic, since terms fall by orders of magnitude; its limits stand beside the panel.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dualdistill.errors import DataError

WIDTH, HEIGHT, BINS = 240.0, 64.0, 80
NOT_A_LOSS = ("step", "lr", "grad_norm")
OTHERS = {"lr": "learning rate", "grad_norm": "gradient norm"}


@dataclass(frozen=True)
class Panel:
    """One curve; the numbers are its first, its last and its limits, for the words around it."""

    title: str
    path: str
    first: str
    last: str
    highest: str
    lowest: str


def panels(history: Path) -> tuple[Panel, ...]:
    """The sum of all losses, every loss in the order of its size, then learning rate and gradient norm."""
    if not history.exists():
        return ()
    rows = _rows(history)
    terms = sorted({name for row in rows for name in row if name not in NOT_A_LOSS})
    curves = {name: [row.get(name, math.nan) for row in rows] for name in (*terms, *OTHERS)}
    terms.sort(key=lambda name: -_mean(curves[name]))
    found = [_panel(name.replace("_", " "), curves[name]) for name in terms]
    if len(terms) > 1:
        total = [sum(row.get(name, 0.0) for name in terms) for row in rows]
        found.insert(0, _panel("sum of the losses", total))
    found += [_panel(title, curves[name]) for name, title in OTHERS.items()]
    return tuple(panel for panel in found if panel)


def _rows(history: Path) -> list[Mapping[str, float]]:
    try:
        rows = [json.loads(line) for line in history.read_text(encoding="utf-8").splitlines()]
        return [{name: float(value) for name, value in row.items()} for row in rows]
    except (ValueError, TypeError, AttributeError) as error:
        hint = "delete the file and train the run again"
        raise DataError("not a history of losses", where=str(history), hint=hint) from error


def _panel(title: str, values: Sequence[float]) -> Panel | None:
    """Means over equal stretches of the training; None where there is nothing to draw."""
    count = min(BINS, len(values))
    edges = [len(values) * number // count for number in range(count + 1)] if count else []
    bins = [_mean(values[left:right]) for left, right in itertools.pairwise(edges)]
    there = [value for value in bins if value > 0]
    if len(there) < 2:
        return None
    low, high = math.log(min(there)), math.log(max(there))
    points = [
        f"{WIDTH * place / (count - 1):.0f} {_height(value, low, high):.1f}"
        for place, value in enumerate(bins)
        if value > 0
    ]
    return Panel(title, "M" + "L".join(points), *map(_short, (there[0], there[-1], max(there), min(there))))


def _height(value: float, low: float, high: float) -> float:
    share = (math.log(value) - low) / (high - low) if high > low else 0.5
    return 2 + (HEIGHT - 4) * (1 - share)


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else 0.0


def _short(value: float) -> str:
    """Three digits; a power of ten without the zeros that pad it."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}".replace("e-0", "e-")
