"""One table of runs as CSV for programs, Markdown for people and LaTeX for papers.

Knows no method: what a row is called, and which runs stand behind it, is decided before (collect.py).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pandas as pd

from dualdistill.plan.columns import MEASURES, Measure
from dualdistill.plan.plan import Plan
from dualdistill.plan.tables import METRICS
from dualdistill.report.collect import NOT_COMPARABLE, Row, Table, gather
from dualdistill.report.numbers import rounded
from dualdistill.store.files import atomic_write

DAGGER, DAMAGED, MISSING, TIMES = "†", "‡", "§", "\N{MULTIPLICATION SIGN}"
HOW_DAMAGED = "Read from a damaged print; config/reported.csv says how."
READ_FROM_DAMAGE = f"{DAMAGED} {HOW_DAMAGED}"
# what LaTeX has for the characters that people read, and for those that it would take for its own
LATEX: dict[str, str | int | None] = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{own: f"\\{own}" for own in "&%$#_{}"},
    "±": r"$\pm$",
    TIMES: r"$\times$",
    DAGGER: r"$^\dagger$",
    DAMAGED: r"$^\ddagger$",
    MISSING: r"$^\S$",
}
MINUS = re.compile(r"-(?=\d)")
WIDE = 60  # characters in a line from which a LaTeX table goes over both columns of a page
SHRUNK = (
    r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"  # to the page's width, never grown
)


def write(plan: Plan, name: str, stem: Path, *, allow_missing: bool = False) -> None:
    """One of the plan's tables as .md, .tex and .csv beside each other, the .csv last."""
    table = gather(plan, name, allow_missing=allow_missing)
    for suffix, text in ((".md", markdown(table)), (".tex", latex(table, name)), (".csv", csv(table))):
        # not with_suffix: a dot in the stem is the user's
        atomic_write(stem.with_name(stem.name + suffix), text)


def csv(table: Table) -> str:
    """Plain numbers as they are printed, one line per row, an empty cell for what is not there."""
    frame = pd.DataFrame([_record(table, row) for row in table.rows])
    return str(frame.to_csv(index=False, lineterminator="\n"))


def _record(table: Table, row: Row) -> dict[str, object]:
    measures = [MEASURES[name] for name in table.measures]
    reported = [name for name in METRICS if name in table.measures]
    gained = [measure for measure in measures if measure.gain]
    return {
        **{name: row.labels.get(name, "") for name in table.columns},
        **{measure.name: _mean(row, measure) for measure in measures},
        **{f"{measure.name}_std": _std(row, measure) for measure in measures},
        "n_seeds": row.seeds,
        **{f"{_kind(measure)}_{measure.name}": _gain(row, measure, sign=False) for measure in gained},
        **{f"reported_{name}": _printed(row.reported.get(name)) for name in reported},
        **{f"reported_delta_{name}": _printed(row.reported_delta.get(name)) for name in reported},
        "damaged": " ".join(name for name in reported if name in row.inferred),
        "remark": row.remark,
        "data": table.data,
        "profile": table.profile,
        "recipe": table.recipe,
        "run": row.run,
        "command": table.command,
    }


def _kind(measure: Measure) -> str:
    return {"difference": "delta", "ratio": "ratio"}[measure.gain or "difference"]


def markdown(table: Table) -> str:
    frame, best = display(table)
    bold = frame.where(~best, "**" + frame + "**")
    # numbers stay the text they are: a parser would turn 41.0 into 41
    body = bold.to_markdown(index=False, disable_numparse=True)
    head = "\n".join(f"- {line}" for line in table.heading())
    notes = "".join(f"\n{note}\n" for note in footnotes(table))
    return f"# {table.title}\n\n{head}\n\n{body}\n{notes}"


def latex(table: Table, label: str) -> str:
    """A booktabs table; the heading stands above it as comments: typeset, its command could not be copied."""
    frame, best = display(table)
    cells = frame.map(typeset)
    numbers = frame.columns[len(table.columns) :]
    cells[numbers] = cells[numbers].map(signed)
    cells = cells.where(~best, "\\textbf{" + cells + "}")
    lines = [" & ".join(line) + r" \\" for line in cells.to_numpy()]
    blocks = [row.block for row in table.rows]
    ruled = [
        line if block == before else f"\\midrule\n{line}"
        for line, block, before in zip(lines, blocks, [None, *blocks], strict=False)
    ]
    width = sum(2 + max(len(name), *map(len, frame[name])) for name in frame.columns)
    environment = "table*" if width > WIDE else "table"
    caption = f"{table.title} ({NOT_COMPARABLE})." if table.synthetic else f"{table.title}."
    return "\n".join(
        [
            *(f"% {line}" for line in [*table.heading(), "It needs the packages booktabs and graphicx."]),
            f"\\begin{{{environment}}}",
            "\\centering",
            f"\\caption{{{typeset(caption)}}}",
            f"\\label{{tab:{label}}}",
            SHRUNK,
            f"\\begin{{tabular}}{{{'l' * len(table.columns)}{'r' * len(numbers)}}}",
            "\\toprule",
            " & ".join(map(typeset, frame.columns)) + r" \\",
            *ruled,
            "\\bottomrule",
            "\\end{tabular}}",
            *(f"\\par\\footnotesize {typeset(note)}" for note in footnotes(table)),
            f"\\end{{{environment}}}\n",
        ]
    )


def typeset(text: str) -> str:
    return text.translate(str.maketrans(LATEX))


def signed(number: str) -> str:
    """A cell whose hyphens are minus signs; a number that is not there is a longer dash."""
    return MINUS.sub("$-$", number) if any(map(str.isdigit, number)) else number.replace("-", "--")


def footnotes(table: Table) -> list[str]:
    """A sentence for every mark: remarks on methods, damaged prints, rows that are not complete."""
    notes = [f"{DAGGER} {remark}" for remark in dict.fromkeys(row.remark for row in table.rows) if remark]
    if any(row.inferred & set(table.measures) for row in table.rows):
        notes.append(READ_FROM_DAMAGE)
    for row in table.rows:
        if row.missing:
            name = " ".join(filter(None, (row.labels.get(column, "") for column in table.columns)))
            wanted, missing = row.seeds + len(row.missing), ", ".join(row.missing)
            notes.append(f"{MISSING} {name}: {row.seeds} of {wanted} seeds, missing {missing}.")
    return notes


def display(table: Table) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The cells as people read them, and which of them are the best of their block."""
    measures = [MEASURES[name] for name in table.measures]
    told = {name for row in table.rows for name in row.reported}
    reported = [name for name in METRICS if name in table.measures and name in told]
    several = any(row.seeds > 1 for row in table.rows)
    lines = []
    for row in table.rows:
        line = {table.headings[name]: row.labels.get(name, "") for name in table.columns}
        if row.remark:
            line[table.headings[naming(table.columns)]] += DAGGER
        line |= {table.headings[measure.name]: _measured(row, measure) for measure in measures}
        line |= {"n": str(row.seeds)} if several else {}
        lines.append(line | {f"{metric} reported": _reported(row, metric) for metric in reported})
    frame = pd.DataFrame(lines, dtype=object)
    return frame, _best(table, frame)


def naming(columns: Sequence[str]) -> str:
    """The column that says what a row is."""
    return "method" if "method" in columns else columns[0]


def _best(table: Table, frame: pd.DataFrame) -> pd.DataFrame:
    """Equal as printed is equal: nobody wins by a digit that is not shown."""
    best = pd.DataFrame(False, index=frame.index, columns=frame.columns)
    blocks: defaultdict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(table.rows):
        blocks[row.block].append(place)
    for measure in (MEASURES[name] for name in table.measures):
        for places in blocks.values():
            shown = {place: Decimal(text) for place in places if (text := _mean(table.rows[place], measure))}
            if measure.best and len(shown) > 1:
                top = (max if measure.best == "most" else min)(shown.values())
                winners = [place for place, value in shown.items() if value == top]
                best.loc[winners, table.headings[measure.name]] = True
    return best


def _mean(row: Row, measure: Measure) -> str:
    score = row.score.get(measure.name)
    return rounded(score.mean / measure.unit, places=measure.places) if score else ""


def _std(row: Row, measure: Measure) -> str:
    score = row.score.get(measure.name)
    if score is None or score.std is None:
        return ""
    return rounded(score.std / measure.unit, places=measure.places + 1)


def _gain(row: Row, measure: Measure, *, sign: bool) -> str:
    gain = row.delta.get(measure.name)
    if gain is None:
        return ""
    if measure.gain == "ratio":
        return rounded(gain)
    return rounded(gain / measure.unit, places=measure.places, sign=sign)


def _measured(row: Row, measure: Measure) -> str:
    mark = MISSING if row.missing else ""
    mean, std, gain = _mean(row, measure), _std(row, measure), _gain(row, measure, sign=True)
    if not mean:
        return f"-{mark}"
    times = TIMES if measure.gain == "ratio" else ""
    return f"{mean}{f' ± {std}' if std else ''}{f' ({times}{gain})' if gain else ''}{mark}"


def _reported(row: Row, metric: str) -> str:
    if metric not in row.reported:
        return "-"
    gain = f" ({_printed(row.reported_delta[metric], sign=True)})" if metric in row.reported_delta else ""
    return f"{_printed(row.reported[metric])}{DAMAGED if metric in row.inferred else ''}{gain}"


def _printed(value: Decimal | None, *, sign: bool = False) -> str:
    return "" if value is None else rounded(value, sign=sign)
