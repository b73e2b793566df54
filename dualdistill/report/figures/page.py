"""What all figures share: a legend that falls on nothing, small print below, the style's colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.figure import Figure, SubFigure

LEGEND_LINE_IN, HANDLE_IN = 0.3, 1.35


def with_legend(width_in: float, height_in: float, handles: Sequence[Artist]) -> tuple[Figure, SubFigure]:
    """A figure with handles on top, in as many lines as they need, and the part below them for panels."""
    figure = Figure(figsize=(width_in, height_in))
    lines = math.ceil(len(handles) * HANDLE_IN / width_in)
    legend_in = LEGEND_LINE_IN * lines
    # a legend outside of all panels would fall on the title
    parts: Any = figure.subfigures(2, 1, height_ratios=(legend_in, height_in - legend_in))
    above, below = parts
    above.legend(handles=list(handles), loc="center", ncols=math.ceil(len(handles) / lines))
    return figure, below


def small_print(figure: Figure, text: str) -> None:
    """What a reader must know, below everything else."""
    figure.supxlabel(text, fontsize=matplotlib.rcParams["font.size"] - 1)


def small() -> float:
    """The size of numbers in panels."""
    return float(matplotlib.rcParams["xtick.labelsize"]) - 0.5


def colour(number: int) -> str:
    """A colour of the style's cycle."""
    cycle: Sequence[str] = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
    return cycle[number % len(cycle)]
