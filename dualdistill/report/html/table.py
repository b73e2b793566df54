"""A table as the page shows it: spread and gain are in the cell of their number."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from dualdistill.plan.tables import NAMED
from dualdistill.report.numbers import rounded
from dualdistill.report.table import TIMES, Column, Kind, Measured, Reported, Row, Table, incomplete

MEASURED, REPORTED = "measured", "reported"
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?")


@dataclass(frozen=True)
class HtmlColumn:
    name: str
    title: str
    group: str = ""  # measured | reported, where the table has both
    numeric: bool = False
    gains: bool = False  # whether one of its cells has a gain
    names: bool = False  # names the row, and links to its run


@dataclass(frozen=True)
class HtmlCell:
    text: str
    spread: str = ""
    gain: str = ""
    below: str = ""  # a note
    share: float | None = None  # of the column's largest number
    damaged: bool = False  # reported, and read from a damaged print


@dataclass(frozen=True)
class HtmlRow:
    cells: tuple[HtmlCell, ...]
    runs: tuple[str, ...]
    facets: dict[str, str]
    remark: str
    missing: str  # the seeds that the row lacks


@dataclass(frozen=True)
class HtmlTable:
    name: str
    title: str
    columns: tuple[HtmlColumn, ...]
    rows: tuple[HtmlRow, ...]
    about: tuple[str, ...]  # facts about all of it
    groups: tuple[tuple[str, int], ...]  # group and width, from left to right
    note: str
    damaged: bool

    @property
    def short(self) -> str:
        text = self.name.removeprefix("table_").replace("_", " ")
        return text[:1].upper() + text[1:]

    @property
    def linked(self) -> bool:
        """Whether rows have runs behind them; in the table of runs, a row is a run."""
        return self.name != "runs" and any(row.runs for row in self.rows)

    @property
    def remarks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.remark for row in self.rows if row.remark))

    @property
    def incomplete(self) -> bool:
        return any(row.missing for row in self.rows)


def to_html(table: Table, facets: Mapping[str, Mapping[str, str]]) -> HtmlTable:
    """Columns and cells for the template; `facets` are what a reader filters each run by."""
    columns, cells = [], []
    for column in table.columns:
        several = [_cell(row, column) for row in table.rows]
        if column.heading and any(cell.text for cell in several):
            columns.append(_column(table, column, several))
            cells.append(_with_shares(table, column, several))
    return HtmlTable(
        name=table.name,
        title=table.title,
        columns=tuple(columns),
        rows=tuple(
            HtmlRow(
                cells=line,
                runs=row.runs,
                facets=_facets(row, facets),
                remark=row.remark,
                missing=incomplete(row) if row.missing else "",
            )
            for row, line in zip(table.rows, zip(*cells, strict=True), strict=True)
        ),
        about=tuple(f"{name}: {text}" for name, text in table.about.items()),
        groups=_groups(columns),
        note=table.note,
        damaged=table.has_damaged,
    )


def _column(table: Table, column: Column, cells: Sequence[HtmlCell]) -> HtmlColumn:
    numeric = all(NUMBER.fullmatch(cell.text.replace("\N{MINUS SIGN}", "-")) for cell in cells if cell.text)
    return HtmlColumn(
        name=column.name,
        title="Seeds" if column.kind is Kind.SEEDS else column.heading,
        group=_group(table, column),
        numeric=numeric,
        gains=any(cell.gain for cell in cells),
        names=column.key == table.naming,
    )


def _group(table: Table, column: Column) -> str:
    """Measured or reported, where a table could be misread without the word."""
    spread = table.of_kind(Kind.STD) or table.of_kind(Kind.LOW)
    measured = MEASURED if spread else ""
    return {Kind.MEAN: measured, Kind.INTERVAL: measured, Kind.REPORTED: REPORTED}.get(column.kind, "")


def _cell(row: Row, column: Column) -> HtmlCell:
    match column.kind:
        case Kind.MEAN if column.key in row.measured:
            return _measured(row.measured[column.key])
        case Kind.INTERVAL if column.key in row.measured and (ends := row.measured[column.key].ends):
            return HtmlCell(_minus(f"[{', '.join(ends)}]"))
        case Kind.REPORTED if column.key in row.reported:
            return _reported(row.reported[column.key])
        case Kind.SEEDS:
            return HtmlCell(str(row.seeds))
        case Kind.DISTANCE if (distance := row.distance(column.key)) is not None:
            return HtmlCell(_minus(rounded(distance, sign=True)))
        case Kind.LABEL:
            word = row.labels.get(column.key, "")
            return HtmlCell(_minus(word) if NUMBER.fullmatch(word) else word)
    return HtmlCell("")


def _measured(cell: Measured) -> HtmlCell:
    ratio = cell.measure.gain == "ratio"
    gain = cell.gain_text(sign=not ratio)
    return HtmlCell(
        text=_minus(cell.mean),
        spread=cell.std,
        gain=f"{TIMES if ratio and gain else ''}{_minus(gain)}",
    )


def _reported(cell: Reported) -> HtmlCell:
    gain = _minus(cell.gain_text(sign=True))
    return HtmlCell(_minus(cell.text), gain=gain, below=cell.note, damaged=cell.damaged)


def _with_shares(table: Table, column: Column, cells: Sequence[HtmlCell]) -> list[HtmlCell]:
    """Bars under measured numbers; none under effects, which may lie below zero."""
    signed = bool(table.of_kind(Kind.INTERVAL))
    numbers = [row.measured.get(column.key) for row in table.rows]
    largest = max((float(number.mean) for number in numbers if number), default=0.0)
    if _group(table, column) != MEASURED or signed or largest <= 0:
        return list(cells)
    return [
        replace(cell, share=max(0.0, float(number.mean) / largest)) if number else cell
        for cell, number in zip(cells, numbers, strict=True)
    ]


def _facets(row: Row, facets: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Facets of the row's run, or else those among its labels."""
    if row.runs and row.runs[0] in facets:
        return dict(facets[row.runs[0]])
    return {name: row.labels[name] for name in NAMED if row.labels.get(name)}


def _groups(columns: Sequence[HtmlColumn]) -> tuple[tuple[str, int], ...]:
    if not any(column.group for column in columns):
        return ()
    return tuple(
        (name, len(list(several))) for name, several in groupby(columns, lambda column: column.group)
    )


def _minus(number: str) -> str:
    return number.replace("-", "\N{MINUS SIGN}")
