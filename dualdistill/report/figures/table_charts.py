"""What the charts of tables share: the rows that a view keeps, panels, bars and numbers.

A reported number never stands in the panel of a measured one: its bars are hollow, its axis names nuScenes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from dualdistill.config.views import METRICS
from dualdistill.errors import UserError
from dualdistill.plan.figures import View
from dualdistill.plan.plan import Plan
from dualdistill.report.collect import NOT_COMPARABLE, Row, Table, gather
from dualdistill.report.figures import layout
from dualdistill.report.numbers import points, rounded
from dualdistill.report.tables import DAGGER, DAMAGED, footnotes, naming

REPORTED = "reported on nuScenes"
NAME_LETTERS = 34  # of a line of a row's name
# columns whose words need none in front of them
SPEAKING = ("method", "backbone", "base", "row", "teacher_row")
SILENT = ("", "-")
Panel = tuple[Axes, str, bool]  # with its metric, and whether that is measured


def kept(plan: Plan, view: View) -> Table:
    """The view's table with the rows that it shows; a hole in them is refused."""
    table = gather(plan, view.table or "", only=view.rows)
    rows = tuple(_marked(row, table.columns) for row in table.rows)
    shown = replace(table, rows=rows)
    if not metrics(shown):
        what = f"figure '{view.name}' draws {' and '.join(METRICS)}, and {view.table} has neither"
        raise UserError(what, hint="name another table")
    # one reported number alone compares with nothing
    return shown if sum(bool(row.reported) for row in rows) > 1 else measured_only(shown)


def measured_only(table: Table) -> Table:
    rows = (replace(row, reported={}, reported_delta={}, inferred=frozenset()) for row in table.rows)
    return replace(table, rows=tuple(rows))


def _marked(row: Row, columns: tuple[str, ...]) -> Row:
    """A row with a remark has a dagger, as in the tables."""
    named = naming(columns)
    return replace(row, labels={**row.labels, named: row.labels[named] + DAGGER}) if row.remark else row


def unmarked(row: Row) -> dict[str, str]:
    """Its words as tables.yaml has them."""
    return {column: word.removesuffix(DAGGER) for column, word in row.labels.items()}


def names(table: Table) -> list[str]:
    """A row by the columns in which rows differ."""
    differ = [c for c in table.columns if len({row.labels[c] for row in table.rows}) > 1] or table.columns
    return [_name(table, row, differ) for row in table.rows]


def _name(table: Table, row: Row, columns: Sequence[str]) -> str:
    """A column without a word, or with a dash because the option has no effect, says nothing."""
    parts = [
        _part(table, column, row.labels[column]) for column in columns if row.labels[column] not in SILENT
    ]
    parts = [part.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}") for part in parts]
    kept = [part if len(part) > NAME_LETTERS else part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts]
    return textwrap.fill(", ".join(kept).replace("_", "\N{NO-BREAK SPACE}") or "-", NAME_LETTERS)


def _part(table: Table, column: str, word: str) -> str:
    if column in SPEAKING:
        return word
    heading = table.headings[column]
    # in a name a heading stands amid words: one that is no abbreviation loses its capital
    heading = heading.lower() if heading == heading.capitalize() else heading
    return {"yes": f"with {heading}", "no": f"without {heading}"}.get(word, f"{heading} {word}")


def metrics(table: Table) -> list[str]:
    """Those that every row has."""
    return [metric for metric in METRICS if all(metric in row.score for row in table.rows)]


def has_reported(table: Table) -> bool:
    return any(row.reported for row in table.rows)


def value(row: Row, metric: str, *, measured: bool) -> Decimal | None:
    """In points; None where a row has no such number."""
    if measured:
        return row.score[metric].mean * 100
    return row.reported.get(metric)


def text(row: Row, metric: str, *, measured: bool) -> str:
    """The number as the tables print it."""
    if measured:
        return points(row.score[metric].mean)
    mark = DAMAGED if metric in row.inferred else ""
    return f"{rounded(row.reported[metric])}{mark}" if metric in row.reported else ""


def spread(row: Row, metric: str) -> float | None:
    """Standard deviation over seeds in points; one seed has none."""
    std = row.score[metric].std
    return None if std is None else float(std * 100)


def name_axis(table: Table, metric: str, *, measured: bool) -> str:
    return f"{metric} on {table.data}" if measured else f"{metric}, {REPORTED}"


def face(number: int, *, measured: bool) -> dict[str, Any]:
    """How a bar is filled: solid if measured, hollow and hatched if reported."""
    if measured:
        return {"facecolor": layout.colour(number), "edgecolor": layout.colour(number)}
    return {"facecolor": "white", "edgecolor": layout.colour(number), "hatch": "//////"}


def footer(figure: Figure, table: Table) -> None:
    """What a reader must know before comparing a number with another one."""
    counts = {score.n for row in table.rows for score in row.score.values()}
    seeds = f"{max(counts)} seed{'s' if max(counts) > 1 else ''} per row"
    spread_is = ", error bars: standard deviation" if max(counts) > 1 else ", so no error bars"
    words = [f"{table.data}: {NOT_COMPARABLE}."] if table.synthetic else []
    words = [" ".join([*words, f"Recipe {table.recipe}, {seeds}{spread_is}."])]
    layout.small_print(figure, *words, *footnotes(table))


def panels(figure: FigureBase, table: Table, *, columns: int, **shared: Any) -> list[Panel]:
    """A panel per metric, measured above reported."""
    kinds = [True, False] if has_reported(table) else [True]
    shown = [(metric, measured) for measured in kinds for metric in metrics(table)]
    grid = figure.subplots(len(shown) // columns, columns, squeeze=False, **shared)
    return [(axes, *what) for axes, what in zip(grid.flat, shown, strict=True)]
