"""config/figures.yaml, checked against the plan: what each figure shows, and which files it is made from.

The Snakefile plans with it, so nothing here imports numpy, matplotlib or torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualdistill.config import yaml
from dualdistill.config.validation import check
from dualdistill.config.views import CHARTS, FiguresFile
from dualdistill.config.yaml import Document, nearest
from dualdistill.errors import UserError
from dualdistill.plan.identity import label
from dualdistill.plan.plan import Plan
from dualdistill.store.files import sha_of
from dualdistill.store.records import RUN

FILE, STYLE = "figures.yaml", "figures.mplstyle"
CLAIMS = "claims.csv"  # beside the tables
PROBED = (
    "temperature",
    "key_frame",
    "attention",
    "alignment",
)  # charts of what networks say, run by probes/run.py
MAPS = ("attention", "alignment")  # of a student that learns from a teacher
COLUMN_KEYS = ("group", "colour", "mark")
# the probe does not depend on these keys
DRAWING_KEYS = ("title", "min_score")


@dataclass(frozen=True)
class FigureView:
    """One figure; `options` are the other keys of its line."""

    name: str
    chart: str
    title: str
    table: str | None
    rows: tuple[str, ...]  # of that table, which are shown
    runs: tuple[str, ...]  # shown, one per row and seed
    networks: dict[str, str]  # run -> its network in words; empty for a table, which has labels
    options: dict[str, Any]
    probed: Path | None  # what the probe wrote for it
    style: Path

    @property
    def sha(self) -> str:
        """What a figure depends on beside its input files."""
        said = {"title": self.title, "whose": self.networks}
        return sha_of({"chart": self.chart, "runs": self.runs, "options": self.options, **said})

    @property
    def probe_sha(self) -> str:
        """What the networks are asked: a title is not part of it."""
        asked = {key: value for key, value in self.options.items() if key not in DRAWING_KEYS}
        return sha_of({"chart": self.chart, "runs": self.runs, "options": asked})


def load(plan: Plan, folder: Path) -> dict[str, FigureView]:
    """All figures of the figures.yaml in a folder, in its order; every fault in it is raised here."""
    read = yaml.read(folder / FILE)
    check(read, FiguresFile)
    found = {}
    for name, line in read.value["figures"].items():
        check(read, _chart(read, name, line), at=("figures", name), noun="figure")
        found[name] = _view(plan, read, name, line, folder / STYLE)
    return found


def _chart(read: Document, name: str, line: dict[str, Any]) -> Any:
    """The keys that a figure's chart takes."""
    place, chart = ("figures", name), line.get("chart")
    if "chart" not in line:
        raise UserError(f"missing key 'chart' in 'figures.{name}'", where=read.where(place))
    if chart not in CHARTS:
        what = f"'chart' in 'figures.{name}' must be one of {', '.join(CHARTS)}, not {chart!r}"
        raise UserError(
            what, where=read.where((*place, "chart")), hint=nearest(str(chart), CHARTS, otherwise="")
        )
    return CHARTS[chart]


def find(views: dict[str, FigureView], name: str) -> FigureView:
    if name not in views:
        raise UserError(f"no figure is named '{name}'", hint=nearest(name, views))
    return views[name]


def probe_file(view: FigureView) -> Path:
    """Where the probe file of a view lies; a chart of results has none."""
    if view.probed is None:
        what = f"figure '{view.name}' is drawn from results alone, there is nothing to probe"
        raise UserError(what, hint=f"python -m dualdistill figure {view.name}")
    return view.probed


def keeps(show: Mapping[str, Sequence[str]], labels: Mapping[str, str]) -> bool:
    """Does a row print one of the words in every column that `show` names?"""
    return all(labels[column] in words for column, words in show.items())


def _network(plan: Plan, run: str) -> str:
    """A network in the words of tables.yaml: DualDistill ResNet-50 taught by MVP."""
    words = [plan.words.get(part, part) for part in label(plan.runs[run].spec).split("-")]
    return " taught by ".join([" ".join(words[:2]), *words[2:]])


def _view(plan: Plan, read: Document, name: str, line: dict[str, Any], style: Path) -> FigureView:
    chart, table = line["chart"], line.get("table")
    options = {key: value for key, value in line.items() if key not in ("chart", "title", "table")}
    if table is not None:
        _check_columns(plan, read, name, line)
        shown = [row for row in plan.tables[table].rows if keeps(line.get("show", {}), row.shown)]
        rows, runs = tuple(row.row for row in shown), tuple(run for row in shown for run in row.runs)
        options["marks"] = read.value["marks"]
    else:
        rows, runs = (), tuple(_runs(plan, read, name, line))
    if chart in ("key_frame", *MAPS):
        options |= read.value["frame"]
    return FigureView(
        name=name,
        chart=chart,
        title=line.get("title") or plan.tables[line["table"]].title,
        table=table,
        rows=rows,
        runs=runs,
        networks={} if table else {run: _network(plan, run) for run in runs},
        options=options,
        probed=plan.shown / "probes" / f"{name}.npz" if chart in PROBED else None,
        style=style,
    )


def _check_columns(plan: Plan, read: Document, name: str, line: dict[str, Any]) -> None:
    """The table exists, and so do the columns and the words that the figure takes from it."""

    def refuse(what: str, key: str, hint: str) -> None:
        raise UserError(f"figure '{name}' {what}", where=read.where(("figures", name, key)), hint=hint)

    if line["table"] not in plan.tables:
        refuse(f"shows the unknown table '{line['table']}'", "table", nearest(line["table"], plan.tables))
    table, show = plan.tables[line["table"]], line.get("show", {})
    kept = [("show", show), *(("lines", own) for own in line.get("lines", {}).values())]
    named = [(key, line[key], table.columns) for key in COLUMN_KEYS if key in line]
    named += [("x", line["x"], (*table.columns, *table.measures))] if "x" in line else []
    named += [(key, column, table.columns) for key, own in kept for column in own]
    for key, column, known in named:
        if column not in known:
            what = f"names column '{column}', which {line['table']} does not have"
            refuse(what, key, nearest(column, known))
    for key, column, words in [(key, *wanted) for key, own in kept for wanted in own.items()]:
        printed = {row.shown[column] for row in table.rows}
        for word in words:
            if word not in printed:
                what = f"shows '{word}', which no row of {line['table']} prints as its {column}"
                refuse(what, key, nearest(word, printed - {""}))
    if not any(keeps(show, row.shown) for row in table.rows):
        what = f"shows no row of {line['table']}: none prints all of these words"
        refuse(what, "show", "name fewer columns")
    if "mark" in line:
        for row in table.rows:
            word = row.shown[line["mark"]]
            if keeps(show, row.shown) and word and word not in read.value["marks"]:
                refuse(f"has no mark for '{word}'", "mark", "add it to marks")


def _runs(plan: Plan, read: Document, name: str, line: dict[str, Any]) -> Iterable[str]:
    """The runs of rows that a figure names: all seeds of `rows`, the first seed of the others."""
    named = [("rows", row, plan.settings.seeds) for row in line.get("rows", [])]
    named += [("teacher", line["teacher"], (plan.settings.teacher_seed,))] if "teacher" in line else []
    named += [("student", line["student"], plan.settings.seeds[:1])] if "student" in line else []
    for key, row, seeds in named:
        where = read.where(("figures", name, key))
        found = {run.spec.seed: run for run in plan.runs.values() if row in run.rows}
        if not found:
            known = {row for run in plan.runs.values() for row in run.rows}
            what = f"figure '{name}' shows the unknown row '{row}'"
            raise UserError(what, where=where, hint=nearest(row, known))
        for seed in seeds:
            spec = found[seed].spec
            if key != "rows" and spec.kind != key:
                raise UserError(f"figure '{name}' needs a {key}, '{row}' is none", where=where)
            if line["chart"] in MAPS and spec.distill is None:
                raise UserError(
                    f"figure '{name}' needs a student with a method, '{row}' has none", where=where
                )
            yield found[seed].id


def records(plan: Plan, runs: Iterable[str], *names: str) -> list[str]:
    return [str(plan.results / "runs" / run / name) for run in runs for name in (RUN, *names)]
