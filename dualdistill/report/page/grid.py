"""A table file as the page shows it: spread and gain stand in the cell of their number.

Knows how columns are named and nothing else, so a new table is shown without a change here: X_std and delta_X
belong to X, reported_X is the poster's X, `run` names the runs behind a line, `data` and `recipe` the whole.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dualdistill.errors import DataError

MEASURED, REPORTED = "measured", "reported"
FACETS = ("backbone", "teacher", "method")  # what a reader filters by
CALLED = ("claim", "says", "method", "row")  # the column that a line is called by; otherwise the first
ABOUT = ("data", "recipe")  # of the whole table, as a rule
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?")


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


@dataclass(frozen=True)
class Line:
    cells: tuple[Cell, ...]
    runs: tuple[str, ...]
    facets: dict[str, str]


@dataclass(frozen=True)
class Grid:
    name: str
    title: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    about: tuple[str, ...]  # data set and recipe
    groups: tuple[tuple[str, int], ...] = ()  # group and width, from left to right

    @property
    def short(self) -> str:
        return _words(self.name)


def read(path: Path, title: str = "") -> Grid:
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
    columns = _columns(names, rows, about)
    return Grid(
        name=path.stem,
        title=title or _words(path.stem),
        columns=columns,
        lines=tuple(_line(row, columns) for row in rows),
        about=tuple(f"{name}: {rows[0][name]}" for name in about),
        groups=_groups(columns),
    )


def _columns(
    names: Sequence[str], rows: Sequence[Mapping[str, str]], about: Sequence[str]
) -> tuple[Column, ...]:
    """The columns with a cell of their own; a column that says nothing anywhere is left out."""
    known = set(names)
    columns = []
    for name in names:
        of = re.sub(r"^(reported_)?delta_", r"\1", name).removesuffix("_std")
        values = [row[name] for row in rows if row[name]]
        if (of != name and of in known) or name in about or name == "run" or not values:
            continue
        numeric = all(NUMBER.fullmatch(value) for value in values)
        base = name.removeprefix("reported_")
        paired = numeric and {f"reported_{base}", f"delta_{base}", f"{base}_std"} & known
        group = (REPORTED if base != name else MEASURED) if paired else ""
        largest = max(map(float, values)) if group == MEASURED else 0.0
        gains = any(row.get(f"{name.removesuffix(base)}delta_{base}") for row in rows)
        columns.append(Column(name, _words(base), group, numeric, largest, gains))
    called = next((name for name in CALLED if name in {column.name for column in columns}), names[0])
    return tuple(replace(column, names=column.name == called) for column in columns)


def _line(row: Mapping[str, str], columns: Sequence[Column]) -> Line:
    facets = {name: row[name] for name in FACETS if row.get(name)}
    return Line(tuple(_cell(row, column) for column in columns), tuple(row.get("run", "").split()), facets)


def _cell(row: Mapping[str, str], column: Column) -> Cell:
    text, base = row[column.name], column.name.removeprefix("reported_")
    prefix = column.name.removesuffix(base)
    share = float(text) / column.largest if text and column.largest > 0 else None
    gain = row.get(f"{prefix}delta_{base}", "")
    return Cell(
        text=_minus(text) if column.numeric else text,
        spread=row.get(f"{column.name}_std", ""),
        gain=_minus(gain if gain.startswith(("-", "+")) or not gain else f"+{gain}"),
        share=None if share is None else max(0.0, share),
    )


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
    return text if text != text.lower() else text[:1].upper() + text[1:]


def _minus(number: str) -> str:
    return number.replace("-", "\N{MINUS SIGN}")
