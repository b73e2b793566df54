"""The poster's claims as a forest plot: measured effects with their intervals, the reported ones apart."""

from __future__ import annotations

import textwrap
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from dualdistill.plan.figures import FigureView
from dualdistill.plan.plan import Plan
from dualdistill.report.claims import table as claims
from dualdistill.report.figures import layout, table_charts
from dualdistill.report.table import DAMAGED, NOT_COMPARABLE, Measured, Reported, Row, Table

LETTERS = 36  # in a line of a claim
KINDS = ("the endpoint: a mean or a trend", "the smallest effect of all pairs")
MARKS = "os"  # by kind
BESIDE = 0.17  # distance of the two kinds from the middle of a claim's row
REACH = 3  # times the largest effect; an interval beyond is cut off with an arrow
THICK = 3.0  # line width of the interval over students alone
BAND = "0.92"  # grey of the margin


def draw(plan: Plan, view: FigureView) -> Figure:
    table, _ = claims.tables(plan, allow_missing=True)
    names = list(dict.fromkeys(row.labels["claim"] for row in table.rows))
    figure, below = layout.with_legend(1.4 + 0.46 * len(names), _handles(plan))
    measured, reported = below.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    effects = [float(row.measured["effect"].value) for row in table.rows if "effect" in row.measured]
    reach = REACH * max(map(abs, effects), default=0)
    for row in table.rows:
        number = int(row.labels["endpoint"] == "every pair")
        place = names.index(row.labels["claim"]) + BESIDE * (2 * number - 1)
        _verdict(measured, row, place)
        if "effect" in row.measured:
            _measured(measured, row, place, number, reach)
        if row.reported:
            _reported(reported, row.reported["effect"], place, number)
    sentences = {row.labels["claim"]: textwrap.fill(row.labels["says"], LETTERS) for row in table.rows}
    measured.set_yticks(range(len(names)), sentences.values())
    measured.set_ylim(len(names) - 0.5, -0.5)
    measured.set_xlabel(f"points of mAP on {plan.measured_on}")
    reported.set_xlabel(textwrap.fill(table_charts.REPORTED, 12))  # a narrow panel
    measured.axvspan(-plan.claims.margin, plan.claims.margin, color=BAND, zorder=0)
    for axes in (measured, reported):
        axes.axvline(0, color="black", linewidth=0.8)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.12)
    layout.small_print(figure, *_notes(plan, table))
    return figure


def _handles(plan: Plan) -> list[Artist]:
    kinds: list[Artist] = [
        Line2D([], [], color=layout.colour(number), marker=MARKS[number], label=kind)
        for number, kind in enumerate(KINDS)
    ]
    return [*kinds, Patch(facecolor=BAND, label=f"margin: ±{plan.claims.margin:g}")]


def _notes(plan: Plan, table: Table) -> list[str]:
    """The meaning of marks and lines, by the rule of claims.yaml."""
    notes = [f"{plan.measured_on}: {NOT_COMPARABLE}."] if plan.data.synthetic else []
    notes.append(
        f"Lines: {100 * plan.claims.level:g} % intervals, thick for other students on these frames, thin for "
        "other students on other frames, by which the rule in config/claims.yaml decides; dotted, with one "
        "seed, for these students on other frames. An arrow: it goes on. A reported effect has none. "
        "In parentheses the smallest effect that an undecided claim would have found."
    )
    if table.has_damaged:
        notes.append(f"{DAMAGED} Rests on a damaged print; config/reported.csv says how.")
    return notes


def _verdict(axes: Axes, row: Row, place: float) -> None:
    """Write the number of seeds and the verdict beside the panel."""
    words = f"n = {row.seeds}, {row.labels['verdict']}" if "effect" in row.measured else "not measured"
    words = words.replace("beyond the margin", "beyond margin")
    words += f" ({smallest})" if (smallest := row.labels["smallest_found"]) else ""
    style: dict[str, Any] = {"va": "center", "fontsize": layout.small()}
    axes.text(1.02, place, words, transform=axes.get_yaxis_transform(), **style)


def _measured(axes: Axes, row: Row, place: float, number: int, reach: float) -> None:
    """Draw the effect, with the intervals that it has."""
    axes.plot(float(row.measured["effect"].value), place, MARKS[number], color=layout.colour(number))
    styles: dict[str, dict[str, Any]] = {
        claims.BOTH: {},
        claims.STUDENTS: {"linewidth": THICK, "solid_capstyle": "butt"},
        claims.FRAMES: {"linestyle": "dotted"},
    }
    for name, style in styles.items():
        if name in row.measured:
            _interval(axes, row.measured[name], place, number, reach, style)


def _interval(
    axes: Axes, effect: Measured, place: float, number: int, reach: float, style: dict[str, Any]
) -> None:
    """Draw an interval, cut off with an arrow where it is very wide."""
    assert effect.interval is not None
    whole = [float(end / effect.measure.unit) for end in effect.interval]
    ends = [max(whole[0], -reach), min(whole[1], reach)]
    axes.plot(ends, [place, place], color=layout.colour(number), **style)
    for end, true_end, arrow in zip(ends, whole, "<>", strict=True):
        if end != true_end:
            axes.plot(end, place, arrow, color=layout.colour(number))


def _reported(axes: Axes, effect: Reported, place: float, number: int) -> None:
    hollow: dict[str, Any] = {"color": layout.colour(number), "markerfacecolor": "white"}
    axes.plot(float(effect.value), place, MARKS[number], **hollow)
    if effect.damaged:
        style: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": layout.small()}
        axes.annotate(DAMAGED, (float(effect.value), place), (5, 0), **style)
