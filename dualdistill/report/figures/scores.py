"""What the charts of tables share: the rows that a view keeps, panels, bars and numbers.

A reported number never stands in the panel of a measured one: its bars are hollow, its axis names nuScenes.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from dualdistill.config import METRICS
from dualdistill.errors import UserError
from dualdistill.plan import Plan
from dualdistill.report.collect import NOT_COMPARABLE, Row, Table, gather
from dualdistill.report.figures import page
from dualdistill.report.figures.views import View
from dualdistill.report.numbers import points, rounded
from dualdistill.report.tables import DAGGER, naming

REPORTED = "reported on nuScenes"


def kept(plan: Plan, view: View) -> Table:
    """The view's table with the rows that it shows; a table with a hole is refused."""
    table = gather(plan, view.table or "")
    show = view.options.get("show", {})
    shown = [row for row in table.rows if all(row.labels[column] in words for column, words in show.items())]
    rows = [_marked(row, table.columns) for row in shown]
    if not metrics(replace(table, rows=tuple(rows))):
        what = f"figure '{view.name}' draws {' and '.join(METRICS)}, and {view.table} has neither"
        raise UserError(what, hint="name another table")
    return replace(table, rows=tuple(rows))


def _marked(row: Row, columns: tuple[str, ...]) -> Row:
    """A row with a remark has a dagger, as in the tables."""
    named = naming(columns)
    return replace(row, labels={**row.labels, named: row.labels[named] + DAGGER}) if row.remark else row


def metrics(table: Table) -> list[str]:
    """Those that every row has."""
    return [metric for metric in METRICS if all(metric in row.score for row in table.rows)]


def has_reported(table: Table) -> bool:
    """One reported number alone compares with nothing."""
    return sum(bool(row.reported) for row in table.rows) > 1


def value(row: Row, metric: str, *, measured: bool) -> Decimal | None:
    """In points; None where a row has no such number."""
    if measured:
        return row.score[metric].mean * 100
    return row.reported.get(metric)


def text(row: Row, metric: str, *, measured: bool) -> str:
    """The number as the tables print it."""
    if measured:
        return points(row.score[metric].mean)
    return rounded(row.reported[metric]) if metric in row.reported else ""


def spread(row: Row, metric: str) -> float | None:
    """Standard deviation over seeds in points; one seed has none."""
    std = row.score[metric].std
    return None if std is None else float(std * 100)


def name_axis(table: Table, metric: str, *, measured: bool) -> str:
    return f"{metric} on {table.data}" if measured else f"{metric}, {REPORTED}"


def face(number: int, *, measured: bool) -> dict[str, Any]:
    """How a bar is filled: solid if measured, hollow and hatched if reported."""
    if measured:
        return {"facecolor": page.colour(number), "edgecolor": page.colour(number)}
    return {"facecolor": "white", "edgecolor": page.colour(number), "hatch": "//////"}


def footer(figure: Figure, table: Table) -> None:
    """What a reader must know before comparing a number with another one."""
    counts = {score.n for row in table.rows for score in row.score.values()}
    seeds = f"{max(counts)} seed{'s' if max(counts) > 1 else ''} per row"
    spread_is = ", bars of error: standard deviation" if max(counts) > 1 else ", so no error bars"
    words = [f"{table.data}: {NOT_COMPARABLE}."] if table.synthetic else []
    words = [" ".join([*words, f"Recipe {table.recipe}, {seeds}{spread_is}."])]
    words += [f"{DAGGER} {remark}" for remark in dict.fromkeys(row.remark for row in table.rows) if remark]
    page.small_print(figure, "\n".join(words))


def panels(figure: FigureBase, table: Table, *, sharey: bool) -> list[tuple[Axes, str, bool]]:
    """A panel per metric, measured above reported: (axes, metric, is it measured)."""
    kinds = [True, False] if has_reported(table) else [True]
    axes = figure.subplots(len(kinds), len(metrics(table)), sharey=sharey, squeeze=False).flat
    return [(next(axes), metric, measured) for measured in kinds for metric in metrics(table)]
