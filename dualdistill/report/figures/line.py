"""A sweep: one column of a table is the axis, and the scores are lines over it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dualdistill.errors import UserError
from dualdistill.plan import Plan
from dualdistill.report.collect import Row, Table
from dualdistill.report.figures import page, scores
from dualdistill.report.figures.views import View


def draw(plan: Plan, view: View) -> Figure:
    table = scores.kept(plan, view)
    return of_rows(table, table.rows, view)


def of_rows(table: Table, shown: Sequence[Row], view: View) -> Figure:
    column = view.options["x"]
    rows = sorted(((_number(view, row, column), row) for row in shown), key=lambda pair: pair[0])
    figure = Figure(figsize=(7.2, 2.7))
    kinds = [True, False] if scores.has_reported(table) else [True]
    for axes, measured in zip(figure.subplots(1, len(kinds), squeeze=False).flat, kinds, strict=True):
        for number, metric in enumerate(scores.metrics(table)):
            _line(axes, rows, number, metric, measured=measured)
        axes.set(
            xlabel=column, ylabel=f"points on {table.data}" if measured else f"points, {scores.REPORTED}"
        )
        axes.margins(x=0.12, y=0.25)
        axes.legend()
    scores.footer(figure, table)
    return figure


def _line(axes: Axes, rows: list[tuple[float, Row]], number: int, metric: str, *, measured: bool) -> None:
    there = [(x, row) for x, row in rows if scores.value(row, metric, measured=measured) is not None]
    x = [x for x, _ in there]
    y = [float(scores.value(row, metric, measured=measured) or 0) for _, row in there]
    spreads = [scores.spread(row, metric) for _, row in there] if measured else []
    errors = [std for std in spreads if std is not None]
    style: dict[str, Any] = {"marker": "os"[number], "color": page.colour(number), "label": metric}
    style |= {} if measured else {"linestyle": "--", "markerfacecolor": "white"}
    axes.errorbar(x, y, yerr=errors if errors and len(errors) == len(y) else None, **style)
    for (at, row), height in zip(there, y, strict=True):
        text = scores.text(row, metric, measured=measured)
        axes.annotate(
            text, (at, height), (0, 5), textcoords="offset points", ha="center", fontsize=page.small()
        )


def _number(view: View, row: Row, column: str) -> float:
    try:
        number = float(row.labels[column])
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        what = f"figure '{view.name}' draws {column} as a line, and one row prints '{row.labels[column]}'"
        raise UserError(what, hint="leave that row out with show, or draw bars")
    return number
