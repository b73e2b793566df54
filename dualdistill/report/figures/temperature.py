"""Boxes of the teacher at temperatures on its logits and at thresholds on its score, compared bit by bit.

They are the same where a temperature acts as nothing but a threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from dualdistill.plan.figures import FigureView
from dualdistill.plan.plan import Plan
from dualdistill.report.figures import bev_maps, layout

NAMES = (
    "common",
    "at_temperature",
    "at_threshold",
    "temperatures",
    "thresholds",
    "same_as",
    "frames",
    "threshold",
)
# in the order of probes.run.compare; where both rankings agree the thin line lies on the broad one
RANKED = ("by sharpened score (in parentheses)", "by logit")
STYLES: tuple[dict[str, Any], ...] = ({"linewidth": 5.0, "alpha": 0.3}, {"linewidth": 1.1})
MARKS = "os^D"
Array = NDArray[np.float64]


def draw(plan: Plan, view: FigureView) -> Figure:
    seen = bev_maps.read(view, *NAMES)
    shown: list[Artist] = [
        Line2D([], [], color=layout.colour(number), marker=MARKS[number % 4], label=f"T = {temperature:g}")
        for number, temperature in enumerate(seen["temperatures"])
    ]
    for style, ranked in zip(STYLES, RANKED, strict=True):
        shown.append(Line2D([], [], color="black", label=f"ranked {ranked}", **style))
    figure, below = layout.with_legend(3.5, shown)
    left, right = below.subplots(1, 2)
    _agreement(left, seen)
    _counts(right, seen)
    frames = f"{plan.data.printed_name}, {seen['frames']} frames of split {plan.settings.split}"
    layout.small_print(
        figure,
        f"{frames}; {layout.networks(plan, view)}; no training. Boxes are compared to the bit.",
        f"Dotted: the threshold that a temperature amounts to, sigmoid(T logit {seen['threshold']}).",
    )
    return figure


def agreement(seen: dict[str, Array]) -> Array:
    """Boxes in both sets over boxes in either, by ranking, temperature, threshold; 1 for empty sets."""
    common = seen["common"]
    either = seen["at_temperature"][:, :, None] + seen["at_threshold"] - common
    return np.where(either == 0, 1.0, common / np.maximum(either, 1))


def _agreement(axes: Axes, seen: dict[str, Array]) -> None:
    """One curve per temperature; the gap above its peak is what no threshold explains."""
    same = agreement(seen)
    for number in range(len(seen["temperatures"])):
        cut = np.searchsorted(seen["thresholds"], seen["same_as"][number])
        for style, share in zip(STYLES, same[:, number], strict=True):
            axes.plot(seen["thresholds"], 100 * share, color=layout.colour(number), **style)
        text = f"{100 * same[1, number, cut]:.1f} %\n({100 * same[0, number, cut]:.1f} %)"
        place = (seen["same_as"][number], 100 * same[1, number, cut])
        axes.axvline(seen["same_as"][number], color=layout.colour(number), linestyle=":")
        patch = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.annotate(
            text, place, (0, 4), textcoords="offset points", ha="center", fontsize=layout.small(), bbox=patch
        )
    axes.set(
        xlabel="threshold on the teacher's score at T = 1", ylabel="boxes in both sets, % of those in either"
    )
    axes.set_ylim(0, 118)
    axes.set_yticks(range(0, 101, 20))
    axes.margins(x=0.12)


def _counts(axes: Axes, seen: dict[str, Array]) -> None:
    """Boxes kept by a threshold, and the place of each temperature on that curve."""
    frames = float(seen["frames"])
    axes.plot(seen["thresholds"], seen["at_threshold"] / frames, color="black")
    for number in range(len(seen["temperatures"])):
        kept = seen["at_temperature"][1, number] / frames
        axes.plot(seen["same_as"][number], kept, MARKS[number % 4], color=layout.colour(number), markersize=7)
        axes.annotate(
            f"{kept:.1f}",
            (seen["same_as"][number], kept),
            (6, 4),
            textcoords="offset points",
            fontsize=layout.small(),
        )
    axes.set(xlabel="threshold on the teacher's score at T = 1", ylabel="boxes per frame")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.12)
