"""Shared by the charts of tables: the rows that a figure shows, panels, bars and numbers.

Reported and measured numbers never share a panel: reported bars are hollow, and their axis names nuScenes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from dualdistill.config.views import METRICS
from dualdistill.errors import UserError
from dualdistill.plan.figures import FigureView
from dualdistill.plan.plan import Plan
from dualdistill.report.collect import gather
from dualdistill.report.figures import layout
from dualdistill.report.table import DAGGER, DAMAGED, NOT_COMPARABLE, Row, Table

REPORTED = "reported on nuScenes"
NAME_LETTERS = 34  # of a line of a row's name
# labels that need no heading in front of them
SPEAKING = ("method", "backbone", "base", "row", "teacher_row")
SILENT = ("", "-")
Panel = tuple[Axes, str, bool]  # with its metric, and whether that is measured


def kept(plan: Plan, view: FigureView) -> Table:
    """The figure's table with the rows that it shows; missing runs are refused."""
    table = gather(plan, view.table or "", only=view.rows)
    table = replace(table, rows=tuple(_marked(row, table.naming) for row in table.rows))
    if not metrics(table):
        what = f"figure '{view.name}' draws {' and '.join(METRICS)}, and {view.table} has neither"
        raise UserError(what, hint="name another table")
    # a single reported number has nothing to be compared with
    return table if sum(bool(row.reported) for row in table.rows) > 1 else measured_only(table)


def measured_only(table: Table) -> Table:
    return replace(table, rows=tuple(replace(row, reported={}) for row in table.rows))


def _marked(row: Row, naming: str) -> Row:
    """Mark a row that has a remark with a dagger, as in the printed tables."""
    return replace(row, labels={**row.labels, naming: row.labels[naming] + DAGGER}) if row.remark else row


def unmarked(row: Row) -> dict[str, str]:
    """The labels as tables.yaml has them."""
    return {label: word.removesuffix(DAGGER) for label, word in row.labels.items()}


def names(table: Table) -> list[str]:
    """Every row by the labels in which rows differ."""
    headings = {column.key: column.heading for column in table.labels}
    differ = {key: text for key, text in headings.items() if len({row.labels[key] for row in table.rows}) > 1}
    return [_name(row, differ or headings) for row in table.rows]


def _name(row: Row, headings: Mapping[str, str]) -> str:
    """Labels of a row, without those that are empty, or a dash because the option has no effect."""
    words = {label: row.labels[label] for label in headings if row.labels[label] not in SILENT}
    parts = [_part(label, word, headings[label]) for label, word in words.items()]
    parts = [part.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}") for part in parts]
    whole = [part if len(part) > NAME_LETTERS else part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts]
    return textwrap.fill(", ".join(whole).replace("_", "\N{NO-BREAK SPACE}") or "-", NAME_LETTERS)


def _part(label: str, word: str, heading: str) -> str:
    if label in SPEAKING:
        return word
    # within a phrase, a heading that is no abbreviation loses its capital
    heading = heading.lower() if heading == heading.capitalize() else heading
    return {"yes": f"with {heading}", "no": f"without {heading}"}.get(word, f"{heading} {word}")


def metrics(table: Table) -> list[str]:
    """The metrics that every row has."""
    return [metric for metric in METRICS if all(metric in row.measured for row in table.rows)]


def value(row: Row, metric: str, *, measured: bool) -> Decimal | None:
    """The number in points; None for a row that has none."""
    if measured:
        return row.measured[metric].value
    return row.reported[metric].value if metric in row.reported else None


def text(row: Row, metric: str, *, measured: bool) -> str:
    """The number as the tables print it."""
    if measured:
        return row.measured[metric].mean
    if metric not in row.reported:
        return ""
    return row.reported[metric].text + (DAMAGED if row.reported[metric].damaged else "")


def spread(row: Row, metric: str) -> float | None:
    """Standard deviation over seeds in points; None for a single seed."""
    cell = row.measured[metric]
    return None if cell.score.std is None else float(cell.score.std / cell.measure.unit)


def name_axis(table: Table, metric: str, *, measured: bool) -> str:
    return f"{metric} on {table.about['data']}" if measured else f"{metric}, {REPORTED}"


def face(number: int, *, measured: bool) -> dict[str, Any]:
    """Fill of a bar: solid if measured, hollow and hatched if reported."""
    if measured:
        return {"facecolor": layout.colour(number), "edgecolor": layout.colour(number)}
    return {"facecolor": "white", "edgecolor": layout.colour(number), "hatch": "//////"}


def footer(figure: Figure, table: Table) -> None:
    """Sentences to read before comparing numbers."""
    counts = {cell.score.n for row in table.rows for cell in row.measured.values()}
    seeds = f"{max(counts)} seed{'s' if max(counts) > 1 else ''} per row"
    spread_is = ", error bars: standard deviation" if max(counts) > 1 else ", so no error bars"
    words = [f"{table.about['data']}: {NOT_COMPARABLE}."] if table.synthetic else []
    words.append(f"Recipe {table.about['recipe']}, {seeds}{spread_is}.")
    layout.small_print(figure, " ".join(words), *table.footnotes)


def panels(figure: FigureBase, table: Table, *, columns: int, **shared: Any) -> list[Panel]:
    """A panel per metric, measured above reported."""
    kinds = [True, False] if table.has_reported else [True]
    shown = [(metric, measured) for measured in kinds for metric in metrics(table)]
    grid = figure.subplots(len(shown) // columns, columns, squeeze=False, **shared)
    return [(axes, *what) for axes, what in zip(grid.flat, shown, strict=True)]
