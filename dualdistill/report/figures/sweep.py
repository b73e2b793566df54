"""A sweep: a label or a measure of a table is the axis, and the scores are lines over it.

A row that lacks the measure, e.g. teacher_mAP for a student without a teacher, is a level across the panel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from dualdistill.errors import UserError
from dualdistill.plan.figures import FigureView, keeps
from dualdistill.plan.plan import Plan
from dualdistill.report.figures import layout, table_charts
from dualdistill.report.table import Kind, Row, Table

MARKS = "os^Dv"
COMMON = {"marker": "D", "color": "black", "linestyle": "none"}  # a point on several lines
PANEL_IN = 2.1  # high
GAP_PT = 4  # between a point and its words


@dataclass(frozen=True)
class Point:
    """A row in one panel."""

    x: float
    y: float
    error: float | None
    words: str


def draw(plan: Plan, view: FigureView) -> Figure:
    table, x = table_charts.kept(plan, view), view.options["x"]
    if _is_measure(table, x):
        # reported students had other teachers than those on the axis
        table = table_charts.measured_only(table)
    shows = view.options.get("lines", {"": {}})
    lines = [
        [row for row in table.rows if keeps(show, table_charts.unmarked(row))] for show in shows.values()
    ]
    _refuse_unlined(view, table, lines)
    handles = [Line2D([], [], label=name, **_style(number)) for number, name in enumerate(shows) if name]
    kinds = 2 if table.has_reported else 1
    figure, below = layout.with_legend(0.9 + PANEL_IN * kinds * len(table_charts.metrics(table)), handles)
    panels = table_charts.panels(below, table, columns=1, sharex=True)
    for axes, metric, measured in panels:
        _panel(axes, _points(view, table, metric, measured=measured), lines)
        axes.set_ylabel(table_charts.name_axis(table, metric, measured=measured))
    heading = next(column.heading for column in table.columns if column.name == x)
    measured_on = f" on {table.about['data']}" if _is_measure(table, x) else ""
    panels[-1][0].set_xlabel(f"{heading}{measured_on}")
    table_charts.footer(figure, table)
    return figure


def _points(view: FigureView, table: Table, metric: str, *, measured: bool) -> dict[tuple[str, ...], Point]:
    """Points by the runs of a row, labelled with the row's name if x is a measure, else with the score."""
    points = {}
    for row, name in zip(table.rows, table_charts.names(table), strict=True):
        number = table_charts.value(row, metric, measured=measured)
        if number is not None:
            printed = table_charts.text(row, metric, measured=measured)
            words = name if _is_measure(table, view.options["x"]) else printed
            error = table_charts.spread(row, metric) if measured else None
            points[row.runs] = Point(_place(view, table, row), float(number), error, words)
    return points


def _is_measure(table: Table, x: str) -> bool:
    return any(column.name == x for column in table.of_kind(Kind.MEAN))


def _place(view: FigureView, table: Table, row: Row) -> float:
    """Position on the axis; NaN for a row that lacks its measure."""
    x = view.options["x"]
    if _is_measure(table, x):
        return float(row.measured[x].value) if x in row.measured else math.nan
    try:
        number = float(table_charts.unmarked(row)[x])
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        what = f"figure '{view.name}' draws {x} as a line, and one row prints '{row.labels[x]}'"
        raise UserError(what, hint="leave that row out with show, or draw bars")
    return number


def _refuse_unlined(view: FigureView, table: Table, lines: Sequence[Sequence[Row]]) -> None:
    """Refuse a row that has a place on the axis and is on no line: the figure would lack it."""
    for row in table.rows:
        if not any(row in line for line in lines) and math.isfinite(_place(view, table, row)):
            words = ", ".join(word for word in row.labels.values() if word)
            what = f"figure '{view.name}' has no line for the row '{words}'"
            raise UserError(what, hint="name it in one of its lines, or leave it out with show")


def _panel(axes: Axes, points: dict[tuple[str, ...], Point], lines: Sequence[Sequence[Row]]) -> None:
    """Draw the lines, labelled above and below in turn, then their common points, then levels."""
    placed = {run: point for run, point in points.items() if math.isfinite(point.x)}
    runs = [[row.runs for row in line if row.runs in placed] for line in lines]
    common = [run for run in placed if sum(run in line for line in runs) > 1]
    for number, line in enumerate(runs):
        up = 1 if number % 2 == 0 else -1
        for run in line:
            if number == 0 or run not in common:
                _write(axes, placed[run], up)
        _line(axes, [placed[run] for run in line], _style(number))
    if common:
        _line(axes, [placed[run] for run in common], COMMON)
    for run in points.keys() - placed.keys():
        _level(axes, points[run])
    axes.margins(x=0.08, y=0.28)  # room for words


def _line(axes: Axes, points: Sequence[Point], style: dict[str, Any]) -> None:
    ordered = sorted(points, key=lambda point: point.x)
    errors = [point.error for point in ordered if point.error is not None]
    x, y = [point.x for point in ordered], [point.y for point in ordered]
    axes.errorbar(x, y, yerr=errors if len(errors) == len(y) else None, **style)


def _level(axes: Axes, point: Point) -> None:
    """Draw a horizontal line, its deviation as a band, and its name beside the panel."""
    axes.axhline(point.y, color="black", linestyle="--", linewidth=1.0)
    if point.error is not None:
        axes.axhspan(point.y - point.error, point.y + point.error, color="0.9", zorder=0)
    style: dict[str, Any] = {"va": "center", "fontsize": layout.small()}
    axes.text(1.01, point.y, point.words, transform=axes.get_yaxis_transform(), **style)


def _write(axes: Axes, point: Point, up: int) -> None:
    end = (point.x, point.y + up * (point.error or 0))
    style: dict[str, Any] = {"ha": "center", "va": "bottom" if up > 0 else "top", "fontsize": layout.small()}
    halo = withStroke(linewidth=2, foreground="white")  # a level may pass behind
    axes.annotate(
        point.words, end, (0, up * GAP_PT), textcoords="offset points", path_effects=[halo], **style
    )


def _style(number: int) -> dict[str, Any]:
    return {"marker": MARKS[number % len(MARKS)], "color": layout.colour(number)}
