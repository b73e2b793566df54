"""Shared by all figures: width, a legend that overlaps nothing, small print, colours."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.figure import Figure, FigureBase

from dualdistill.plan.figures import FigureView
from dualdistill.plan.plan import Plan

WIDTH_IN = 7.0  # the text width for which the style sets its sizes
LEGEND_LINE_IN, HANDLE_IN = 0.3, 1.35
SMALL_LETTERS = 140  # in a line of small print


def blank(height_in: float) -> Figure:
    return Figure(figsize=(WIDTH_IN, height_in))


def with_legend(
    height_in: float, handles: Sequence[Artist], handle_in: float = HANDLE_IN
) -> tuple[Figure, FigureBase]:
    """A figure with a legend on top, in as many lines as it needs, and the part below it for panels."""
    figure = blank(height_in)
    if not handles:
        return figure, figure
    lines = math.ceil(len(handles) * handle_in / WIDTH_IN)
    legend_in = LEGEND_LINE_IN * lines
    # a legend of the whole figure would overlap the title
    parts: Any = figure.subfigures(2, 1, height_ratios=(legend_in, height_in - legend_in))
    above, below = parts
    above.legend(handles=list(handles), loc="center", ncols=math.ceil(len(handles) / lines))
    return figure, below


def small_print(figure: Figure, *paragraphs: str) -> None:
    """Write paragraphs below everything else."""
    lines = [line for text in paragraphs for line in textwrap.wrap(text, SMALL_LETTERS)]
    figure.supxlabel("\n".join(lines), fontsize=matplotlib.rcParams["font.size"] - 1)


def networks(plan: Plan, view: FigureView) -> str:
    """The networks in words: teacher MVP, seed 0; student DualDistill ResNet-50 taught by MVP, seed 0."""
    shown = [(plan.runs[run].spec, words) for run, words in view.networks.items()]
    return "; ".join(f"{spec.kind} {words}, seed {spec.seed}" for spec, words in shown)


def small() -> float:
    """The font size of numbers in panels."""
    return float(matplotlib.rcParams["xtick.labelsize"]) - 0.5


def colour(number: int) -> str:
    """A colour of the style's cycle."""
    cycle: Sequence[str] = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
    return cycle[number % len(cycle)]
