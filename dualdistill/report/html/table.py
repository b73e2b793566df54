"""A table file as the page shows it: spread and gain stand in the cell of their number.

Knows how columns are named and nothing else, so a new table is shown without a change here: X_std, delta_X
and ratio_X belong to X, `low` and `high` to `effect`, reported_X is the poster's X. `run` names the runs of a
line, `remark` is a footnote to it, `damaged` names the reported numbers whose print is damaged; what ABOUT
names stands above the table where all lines agree.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dualdistill.errors import DataError
from dualdistill.plan.tables import NAMED

MEASURED, REPORTED = "measured", "reported"
CALLED = ("says", "claim", "method", "row")  # the column that a line is called by; otherwise the first
ABOUT = ("data", "profile", "recipe", "level", "command")  # of the whole table, as a rule
BESIDE = ("run", "remark", "damaged")  # without a column of their own
INTERVAL = ("low", "high")
SIGNED = ("effect", *INTERVAL)  # a bar cannot show what may lie below zero
GAINS = {
    "delta_": "",
    "ratio_": "\N{MULTIPLICATION SIGN}",
}  # prefix of a column -> what its numbers are printed with
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?")


@dataclass(frozen=True)
class Heading:
    """What stands above a table and its columns."""

    title: str = ""  # otherwise the file's name
    columns: Mapping[str, str] = field(default_factory=dict)  # otherwise the column's name
    note: str = ""  # what a reader must know of all of it
    left_out: tuple[str, ...] = ()  # columns


PLAIN = Heading()


@dataclass(frozen=True)
class Column:
    name: str
    title: str
    group: str = ""  # measured | reported, where the table has both
    numeric: bool = False
    largest: float = 0.0  # of a measured column: what fills a bar
    gains: bool = False  # whether a line of it has a difference to its baseline
    names: bool = False  # what a line is called by, and leads to its run


@dataclass(frozen=True)
class Cell:
    text: str
    spread: str = ""
    gain: str = ""
    share: float | None = None  # of the column's largest number
    damaged: bool = False  # reported, and read from a damaged print


@dataclass(frozen=True)
class Line:
    cells: tuple[Cell, ...]
    runs: tuple[str, ...]
    facets: dict[str, str]
    remark: str = ""


@dataclass(frozen=True)
class Grid:
    name: str
    title: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    about: tuple[str, ...]  # what holds for all of it
    groups: tuple[tuple[str, int], ...] = ()  # group and width, from left to right
    note: str = ""

    @property
    def short(self) -> str:
        return _words(self.name)

    @property
    def linked(self) -> bool:
        """Whether lines have runs behind them; in the table of runs a line is one."""
        return self.name != "runs" and any(line.runs for line in self.lines)

    @property
    def damaged(self) -> bool:
        return any(cell.damaged for line in self.lines for cell in line.cells)

    @property
    def remarks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(line.remark for line in self.lines if line.remark))


def read(path: Path, heading: Heading = PLAIN) -> Grid:
    """A CSV file of results/; a damaged one is refused with its name."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            names, rows = list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"cannot read the table: {error}", where=str(path), hint="run its rule again"
        ) from error
    if not names or any(None in row or None in row.values() for row in rows):
        what = "the table has lines of another length than its heading"
        raise DataError(what, where=str(path), hint="run its rule again")
    about = [name for name in ABOUT if len({row.get(name) for row in rows}) == 1 and name in names]
    columns = _columns(names, rows, (*about, *heading.left_out), heading.columns)
    return Grid(
        name=path.stem,
        title=heading.title or _words(path.stem),
        columns=columns,
        lines=tuple(_line(row, columns) for row in rows),
        about=tuple(f"{name}: {rows[0][name]}" for name in about),
        groups=_groups(columns),
        note=heading.note,
    )


def _columns(
    names: Sequence[str],
    rows: Sequence[Mapping[str, str]],
    left_out: Sequence[str],
    headings: Mapping[str, str],
) -> tuple[Column, ...]:
    """The columns with a cell of their own; a column that says nothing anywhere is left out."""
    columns = []
    for name in names:
        values = [row[name] for row in rows if row[name]]
        if _owner(name) in names or name in left_out or name in BESIDE or not values:
            continue
        numeric = all(NUMBER.fullmatch(value) for value in values)
        group = _group(name, names) if numeric or name.startswith("reported_") else ""
        bars = group == MEASURED and name not in SIGNED
        plain = name.removeprefix("reported_")  # the word stands above it
        columns.append(
            Column(
                name,
                title=headings.get(plain) or _words(plain),
                group=group,
                numeric=numeric,
                largest=max(map(float, values)) if bars else 0.0,
                gains=any(_gain(row, name) for row in rows),
            )
        )
    called = next((name for name in CALLED if name in names), names[0])
    return tuple(replace(column, names=column.name == called) for column in columns)


def _owner(name: str) -> str | None:
    """The column in whose cells another one stands; None of a column with cells of its own."""
    if name.endswith("_std"):
        return name.removesuffix("_std")
    found = re.fullmatch(r"(reported_)?(delta|ratio)_(.+)", name)
    return f"{found[1] or ''}{found[3]}" if found else None


def _group(name: str, names: Sequence[str]) -> str:
    """Measured or reported, where a table could be misread without the word."""
    if name.startswith("reported_"):
        return REPORTED
    if name in INTERVAL:
        return MEASURED if "effect" in names else ""
    beside = (f"reported_{name}", f"{name}_std", *(f"{prefix}{name}" for prefix in GAINS))
    return MEASURED if any(other in names for other in beside) else ""


def _line(row: Mapping[str, str], columns: Sequence[Column]) -> Line:
    facets = {name: row[name] for name in NAMED if row.get(name)}
    cells = tuple(_cell(row, column) for column in columns)
    return Line(cells, tuple(row.get("run", "").split()), facets, row.get("remark", ""))


def _cell(row: Mapping[str, str], column: Column) -> Cell:
    text = row[column.name]
    share = float(text) / column.largest if text and column.largest > 0 else None
    return Cell(
        text=_minus(text) if column.numeric else text,
        spread=row.get(f"{column.name}_std", ""),
        gain=_gain(row, column.name),
        share=None if share is None else max(0.0, share),
        damaged=_damaged(row, column.name),
    )


def _damaged(row: Mapping[str, str], name: str) -> bool:
    """Whether the print of the poster's number is damaged, or of one that its effect rests on."""
    metric = row.get("metric") if name == "reported_effect" else name.removeprefix("reported_")
    return name.startswith("reported_") and metric in row.get("damaged", "").split()


def _gain(row: Mapping[str, str], name: str) -> str:
    """The difference to the baseline with its sign, or how many times the baseline it is."""
    base = name.removeprefix("reported_")
    for prefix, mark in GAINS.items():
        if text := row.get(f"{name.removesuffix(base)}{prefix}{base}"):
            return f"{mark}{text}" if mark else _minus(text if text[0] in "+-" else f"+{text}")
    return ""


def _groups(columns: Sequence[Column]) -> tuple[tuple[str, int], ...]:
    if not any(column.group for column in columns):
        return ()
    found: list[tuple[str, int]] = []
    for column in columns:
        if found and found[-1][0] == column.group:
            found[-1] = (column.group, found[-1][1] + 1)
        else:
            found.append((column.group, 1))
    return tuple(found)


def _words(name: str) -> str:
    """A file's or column's name as a heading; metrics keep their spelling."""
    text = name.removeprefix("table_").removeprefix("n_").replace("_", " ")
    return text[:1].upper() + text[1:] if text.partition(" ")[0].islower() else text


def _minus(number: str) -> str:
    return number.replace("-", "\N{MINUS SIGN}")
