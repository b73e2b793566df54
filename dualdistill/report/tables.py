"""One table of runs as CSV for programs, Markdown for people and LaTeX for papers.

Knows no method: what a row is called, and which runs stand behind it, is decided before (collect.py).
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pandas as pd

from dualdistill.config import METRICS
from dualdistill.plan import Plan
from dualdistill.report.collect import Row, Table, gather
from dualdistill.report.numbers import points, rounded
from dualdistill.storage import atomic_write


def write(plan: Plan, name: str, stem: Path, *, allow_missing: bool = False) -> None:
    """One of the plan's tables as .md, .tex and .csv beside each other, the .csv last."""
    table = gather(plan, name, allow_missing=allow_missing)
    for suffix, text in ((".md", markdown(table)), (".tex", latex(table, name)), (".csv", csv(table))):
        # not with_suffix: a dot in the stem is the user's
        atomic_write(stem.with_name(stem.name + suffix), text)


def csv(table: Table) -> str:
    """Plain numbers in points, one line per row, an empty cell for what is not there."""
    frame = pd.DataFrame([_record(table, row) for row in table.rows])
    return str(frame.to_csv(index=False, lineterminator="\n"))


def _record(table: Table, row: Row) -> dict[str, object]:
    mean = {metric: score.mean for metric, score in row.score.items()}
    std = {metric: score.std for metric, score in row.score.items()}
    return {
        **{name: row.labels.get(name, "") for name in table.columns},
        **{metric: points(mean.get(metric)) for metric in METRICS},
        **{f"{metric}_std": points(std.get(metric), places=2) for metric in METRICS},
        "n_seeds": _seeds(row),
        **{f"delta_{metric}": points(row.delta.get(metric)) for metric in METRICS},
        **{f"reported_{metric}": _printed(row.reported.get(metric)) for metric in METRICS},
        **{f"reported_delta_{metric}": _printed(row.reported_delta.get(metric)) for metric in METRICS},
        "data": table.data,
        "recipe": table.recipe,
        "run": row.run,
    }


def markdown(table: Table) -> str:
    frame, best = display(table)
    bold = frame.where(~best, "**" + frame + "**")
    # numbers stay the text they are: a parser would turn 41.0 into 41
    body = bold.to_markdown(index=False, disable_numparse=True)
    head = "\n".join(f"- {line}" for line in table.heading())
    notes = "".join(f"\n{note}\n" for note in footnotes(table))
    return f"# {table.title}\n\n{head}\n\n{body}\n{notes}"


def latex(table: Table, label: str) -> str:
    """A booktabs table; what the heading and the footnotes say is in the caption."""
    frame, best = display(table)
    style = frame.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis="columns")
    style = style.apply(lambda _: best.map(lambda bold: "textbf:--rwrap;" if bold else ""), axis=None)
    caption = " ".join([f"{table.title}.", *table.heading(), *footnotes(table)])
    for special in "&%$#_{}":
        caption = caption.replace(special, f"\\{special}")
    layout = "l" * len(table.columns) + "r" * (len(frame.columns) - len(table.columns))
    return str(
        style.to_latex(
            hrules=True,
            caption=caption,
            label=f"tab:{label}",
            column_format=layout,
            position_float="centering",
        )
    )


def footnotes(table: Table) -> list[str]:
    """One sentence for every row that is not complete."""
    notes = []
    for row in table.rows:
        if row.missing:
            there = _seeds(row)
            name = " ".join(filter(None, (row.labels.get(column, "") for column in table.columns)))
            wanted, missing = there + len(row.missing), ", ".join(row.missing)
            notes.append(f"* {name}: {there} of {wanted} seeds, missing {missing}.")
    return notes


def display(table: Table) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The cells as people read them, and which of them are the best of their block."""
    lines = []
    for row in table.rows:
        line = {name.capitalize(): row.labels.get(name, "") for name in table.columns}
        line |= {metric: _measured(row, metric) for metric in METRICS}
        lines.append(line | {f"{metric} reported": _reported(row, metric) for metric in METRICS})
    frame = pd.DataFrame(lines, dtype=object)
    best = pd.DataFrame(False, index=frame.index, columns=frame.columns)
    blocks: defaultdict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(table.rows):
        blocks[row.block].append(place)
    for metric in METRICS:
        for places in blocks.values():
            there = [place for place in places if metric in table.rows[place].score]
            shown = {place: _shown(table.rows[place], metric) for place in there}
            if len(shown) > 1:
                top = max(shown.values())
                # equal as printed is equal: nobody wins by a digit that is not shown
                best.loc[[place for place, value in shown.items() if value == top], metric] = True
    return frame, best


def _seeds(row: Row) -> int:
    return max((score.n for score in row.score.values()), default=0)


def _shown(row: Row, metric: str) -> Decimal:
    return Decimal(points(row.score[metric].mean))


def _measured(row: Row, metric: str) -> str:
    mark = " *" if row.missing else ""
    if metric not in row.score:
        return f"-{mark}"
    score = row.score[metric]
    spread = "" if score.std is None else f" ± {points(score.std, places=2)}"
    gain = f" ({points(row.delta[metric], sign=True)})" if metric in row.delta else ""
    return f"{points(score.mean)}{spread}{gain}{mark}"


def _reported(row: Row, metric: str) -> str:
    if metric not in row.reported:
        return "-"
    gain = f" ({_printed(row.reported_delta[metric], sign=True)})" if metric in row.reported_delta else ""
    return f"{_printed(row.reported[metric])}{gain}"


def _printed(value: Decimal | None, *, sign: bool = False) -> str:
    return "" if value is None else rounded(value, sign=sign)
