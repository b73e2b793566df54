"""The poster's claims as a forest plot: measured effects with their intervals, the reported ones apart."""

from __future__ import annotations

import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dualdistill.config.views import METRICS
from dualdistill.plan.figures import FigureView
from dualdistill.plan.plan import Plan
from dualdistill.report import claims
from dualdistill.report.figures import layout, table_charts
from dualdistill.report.table import DAMAGED, NOT_COMPARABLE, Measured, Reported, Row, Table

LETTERS = 36  # in a line of a claim
MARKS = "os"  # by metric
BESIDE = 0.17  # distance of the metrics from the middle of a claim's row
REACH = 3  # times the largest effect; an interval beyond is cut off with an arrow


def draw(plan: Plan, view: FigureView) -> Figure:
    table, _ = claims.tables(plan, allow_missing=True)
    names = list(dict.fromkeys(row.labels["claim"] for row in table.rows))
    handles = [
        Line2D([], [], color=layout.colour(number), marker=MARKS[number], label=metric)
        for number, metric in enumerate(METRICS)
    ]
    figure, below = layout.with_legend(1.4 + 0.46 * len(names), handles)
    measured, reported = below.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    effects = [float(row.measured["effect"].value) for row in table.rows if row.measured]
    reach = REACH * max(map(abs, effects), default=0)
    for row in table.rows:
        number = METRICS.index(row.labels["metric"])
        place = names.index(row.labels["claim"]) + BESIDE * (2 * number - 1)
        _verdict(measured, row, place)
        if row.measured:
            _measured(measured, row.measured["effect"], place, number, reach)
        if row.reported:
            _reported(reported, row.reported["effect"], place, number)
    sentences = {row.labels["claim"]: _sentence(row) for row in table.rows}
    measured.set_yticks(range(len(names)), sentences.values())
    measured.set_ylim(len(names) - 0.5, -0.5)
    measured.set_xlabel(f"points on {plan.measured_on}")
    reported.set_xlabel(table_charts.REPORTED)
    for axes in (measured, reported):
        axes.axvline(0, color="black", linewidth=0.8)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.12)
    layout.small_print(figure, *_notes(plan, table))
    return figure


def _notes(plan: Plan, table: Table) -> list[str]:
    """The meaning of marks and lines, by the rule of claims.yaml."""
    notes = [f"{plan.measured_on}: {NOT_COMPARABLE}."] if plan.data.synthetic else []
    notes.append(
        "Marks: a claim's effect in points, the smallest over its pairs. "
        f"Lines: its {100 * plan.claims.level:g} % interval, Student's t over n paired seeds by the rule in "
        "config/claims.yaml; an arrow: it goes on. One seed has none, nor has a reported effect."
    )
    if table.has_damaged:
        notes.append(f"{DAMAGED} Rests on a damaged print; config/reported.csv says how.")
    return notes


def _sentence(row: Row) -> str:
    pairs = f"(weakest of {row.labels['pairs']} pairs)".replace(" ", "\N{NO-BREAK SPACE}")
    return textwrap.fill(f"{row.labels['says']} {pairs if row.labels['pairs'] != '1' else ''}", LETTERS)


def _verdict(axes: Axes, row: Row, place: float) -> None:
    """Write the number of seeds and the verdict beside the panel."""
    words = f"n = {row.seeds}, {row.labels['verdict']}" if row.measured else "not measured"
    style: dict[str, Any] = {"va": "center", "fontsize": layout.small()}
    axes.text(1.02, place, words, transform=axes.get_yaxis_transform(), **style)


def _measured(axes: Axes, effect: Measured, place: float, number: int, reach: float) -> None:
    """Draw the effect, with its interval if it has one."""
    axes.plot(float(effect.value), place, MARKS[number], color=layout.colour(number))
    if effect.interval is None:
        return
    whole = [float(end / effect.measure.unit) for end in effect.interval]
    ends = [max(whole[0], -reach), min(whole[1], reach)]
    axes.plot(ends, [place, place], color=layout.colour(number))
    for end, true_end, arrow in zip(ends, whole, "<>", strict=True):
        if end != true_end:
            axes.plot(end, place, arrow, color=layout.colour(number))


def _reported(axes: Axes, effect: Reported, place: float, number: int) -> None:
    hollow: dict[str, Any] = {"color": layout.colour(number), "markerfacecolor": "white"}
    axes.plot(float(effect.value), place, MARKS[number], **hollow)
    if effect.damaged:
        style: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": layout.small()}
        axes.annotate(DAMAGED, (float(effect.value), place), (5, 0), **style)
