"""A table as CSV for programs, Markdown for people and LaTeX for papers."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from tabulate import tabulate

from dualdistill.plan.plan import Plan
from dualdistill.report.collect import gather
from dualdistill.report.numbers import rounded
from dualdistill.report.table import (
    DAGGER,
    DAMAGED,
    MISSING,
    NOT_COMPARABLE,
    TIMES,
    Column,
    Kind,
    Measured,
    Reported,
    Row,
    Table,
)
from dualdistill.store.files import atomic_write

# LaTeX for the marks that people read, and for the characters that it reserves
LATEX: dict[str, str | int | None] = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{reserved: f"\\{reserved}" for reserved in "&%$#_{}"},
    "±": r"$\pm$",
    TIMES: r"$\times$",
    DAGGER: r"$^\dagger$",
    DAMAGED: r"$^\ddagger$",
    MISSING: r"$^\S$",
}
MINUS = re.compile(r"-(?=\d)")
WIDE = 60  # characters in a line from which a LaTeX table spans both columns of a page
SHRUNK = (
    r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"  # to the page's width, never grown
)
Grid = list[list[str]]


def write(plan: Plan, name: str, stem: Path, *, allow_missing: bool = False) -> None:
    """One of the plan's tables as .md, .tex and .csv beside each other, the .csv last."""
    table = gather(plan, name, allow_missing=allow_missing)
    texts = {".md": to_markdown(table), ".tex": to_latex(table), ".csv": to_csv(table)}
    for suffix, text in texts.items():
        # not with_suffix: a dot in the stem is the user's
        atomic_write(stem.with_name(stem.name + suffix), text)


def to_csv(table: Table) -> str:
    """Plain numbers as printed, one line per row, an empty cell for a missing number."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    columns = [column for column in table.columns if column.kind is not Kind.INTERVAL]
    writer.writerow(column.name for column in columns)
    writer.writerows([_field(table, row, column) for column in columns] for row in table.rows)
    return stream.getvalue()


def _field(table: Table, row: Row, column: Column) -> str:
    match column.kind:
        case Kind.LABEL:
            return row.labels.get(column.key, "")
        case Kind.SEEDS:
            return str(row.seeds)
        case Kind.DAMAGED:
            return " ".join(name for name, number in row.reported.items() if number.damaged)
        case Kind.REMARK:
            return row.remark
        case Kind.RUNS:
            return " ".join(row.runs)
        case Kind.DISTANCE:
            return "" if (distance := row.distance(column.key)) is None else rounded(distance)
        case Kind.ABOUT:
            return table.about[column.key]
        case Kind.REPORTED | Kind.REPORTED_GAIN:
            reported = row.reported.get(column.key)
            if reported is None:
                return ""
            return reported.text if column.kind is Kind.REPORTED else reported.gain_text()
        case _:
            measured = row.measured.get(column.key)
            return _number(measured, column.kind) if measured else ""


def _number(measured: Measured, kind: Kind) -> str:
    low, high = measured.ends or ("", "")
    return {
        Kind.MEAN: measured.mean,
        Kind.STD: measured.std,
        Kind.LOW: low,
        Kind.HIGH: high,
        Kind.GAIN: measured.gain_text(),
    }[kind]


def to_markdown(table: Table) -> str:
    headings, cells = display(table)
    best = _best(table)
    for place, row in enumerate(cells):
        cells[place] = [f"**{text}**" if (place, column) in best else text for column, text in enumerate(row)]
    preface = "\n".join(f"- {line}" for line in table.preface)
    notes = "".join(f"\n{note}\n" for note in table.footnotes)
    return f"# {table.title}\n\n{preface}\n\n{pipes(headings, cells)}\n{notes}"


def pipes(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A Markdown table of texts; parsed as numbers, 41.0 would become 41."""
    return tabulate(cells, headings, tablefmt="pipe", disable_numparse=True)


def to_latex(table: Table) -> str:
    """A booktabs table; the preface is above it as comments, so that its command can be copied."""
    headings, cells = display(table)
    labels, best = len(table.labels), _best(table)
    lines = []
    for place, row in enumerate(cells):
        texts = [*map(typeset, row[:labels]), *(signed(typeset(text)) for text in row[labels:])]
        bold = [f"\\textbf{{{text}}}" if (place, at) in best else text for at, text in enumerate(texts)]
        ruled = place and table.rows[place].block != table.rows[place - 1].block
        lines.append(("\\midrule\n" if ruled else "") + " & ".join(bold) + r" \\")
    columns = zip(headings, *cells, strict=True)
    environment = "table*" if sum(2 + max(map(len, column)) for column in columns) > WIDE else "table"
    caption = f"{table.title} ({NOT_COMPARABLE})." if table.synthetic else f"{table.title}."
    return "\n".join(
        [
            *(f"% {line}" for line in [*table.preface, "It needs the packages booktabs and graphicx."]),
            f"\\begin{{{environment}}}",
            "\\centering",
            f"\\caption{{{typeset(caption)}}}",
            f"\\label{{tab:{table.name}}}",
            SHRUNK,
            f"\\begin{{tabular}}{{{'l' * labels}{'r' * (len(headings) - labels)}}}",
            "\\toprule",
            " & ".join(map(typeset, headings)) + r" \\",
            "\\midrule",
            *lines,
            "\\bottomrule",
            "\\end{tabular}}",
            *(f"\\par\\footnotesize {typeset(note)}" for note in table.footnotes),
            f"\\end{{{environment}}}\n",
        ]
    )


def typeset(text: str) -> str:
    return text.translate(str.maketrans(LATEX))


def signed(number: str) -> str:
    """Turn the hyphens of a number into minus signs, and the hyphen of a missing one into a longer dash."""
    return MINUS.sub("$-$", number) if any(map(str.isdigit, number)) else number.replace("-", "--")


def display(table: Table) -> tuple[list[str], Grid]:
    """Headings and cells as people read them: spread, gain and marks stand beside their number."""
    columns = _displayed(table)
    headings = [
        f"{column.key} reported" if column.kind is Kind.REPORTED else column.heading for column in columns
    ]
    return headings, [[_text(table, row, column) for column in columns] for row in table.rows]


def _displayed(table: Table) -> list[Column]:
    """Columns with a heading, except for a number of seeds that is 1 and for empty reports."""
    several = any(row.seeds > 1 for row in table.rows)
    shown = {Kind.SEEDS: several, Kind.REPORTED: table.has_reported}
    return [column for column in table.columns if column.heading and shown.get(column.kind, True)]


def _text(table: Table, row: Row, column: Column) -> str:
    match column.kind:
        case Kind.LABEL:
            return row.labels.get(column.key, "") + (
                DAGGER if row.remark and column.key == table.naming else ""
            )
        case Kind.SEEDS:
            return str(row.seeds)
        case Kind.REPORTED:
            return _reported(row.reported.get(column.key))
        case Kind.DISTANCE:
            return "-" if (distance := row.distance(column.key)) is None else rounded(distance, sign=True)
        case _:
            return _measured(row.measured.get(column.key)) + (MISSING if row.missing else "")


def _measured(cell: Measured | None) -> str:
    if cell is None:
        return "-"
    gain, times = cell.gain_text(sign=True), TIMES if cell.measure.gain == "ratio" else ""
    return f"{cell.mean}{f' ± {cell.std}' if cell.std else ''}{f' ({times}{gain})' if gain else ''}"


def _reported(cell: Reported | None) -> str:
    if cell is None:
        return "-"
    gain = cell.gain_text(sign=True)
    return f"{cell.text}{DAMAGED if cell.damaged else ''}{f' ({gain})' if gain else ''}"


def _best(table: Table) -> set[tuple[int, int]]:
    """Row and column of the best numbers of each block; numbers that print the same are equal."""
    blocks: defaultdict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(table.rows):
        blocks[row.block].append(place)
    best = set()
    for at, column in enumerate(_displayed(table)):
        if column.kind is not Kind.MEAN:
            continue
        for places in blocks.values():
            cells = {place: cell for place in places if (cell := table.rows[place].measured.get(column.key))}
            wanted = {cell.measure.best for cell in cells.values()} - {None}
            if wanted and len(cells) > 1:
                printed = {place: Decimal(cell.mean) for place, cell in cells.items()}
                top = (max if wanted == {"most"} else min)(printed.values())
                best |= {(place, at) for place, value in printed.items() if value == top}
    return best
