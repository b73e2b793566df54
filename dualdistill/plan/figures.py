"""config/figures.yaml checked against the plan: the content and the input files of each figure.

Imports neither numpy, matplotlib nor torch: the Snakefile plans with it.
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
from dualdistill.store.records import RESULTS, RUN

FILE, STYLE = "figures.yaml", "figures.mplstyle"
CLAIMS = "claims.csv"  # beside the tables
PROBED = ("temperature", "key_frame", "attention", "alignment")  # charts of network outputs
MAPS = ("attention", "alignment")  # charts of a student with a method
COLUMN_KEYS = ("group", "colour", "mark")
DRAWING_KEYS = ("title", "min_score")  # the probe does not depend on these


@dataclass(frozen=True)
class FigureView:
    """A figure of figures.yaml."""

    name: str
    chart: str
    title: str
    table: str | None
    rows: tuple[str, ...]  # shown rows of that table
    runs: tuple[str, ...]  # shown runs, one per row and seed
    networks: dict[str, str]  # run -> its network in words; empty for a table, which has columns for it
    options: dict[str, Any]  # the chart's other keys
    probed: Path | None  # file written by the probe
    style: Path

    @property
    def sha(self) -> str:
        """Hash of everything that a figure depends on, except its input files."""
        words = {"title": self.title, "networks": self.networks}
        return sha_of({"chart": self.chart, "runs": self.runs, "options": self.options, **words})

    @property
    def probe_sha(self) -> str:
        """Hash of everything the probe depends on, which excludes the title."""
        options = {key: value for key, value in self.options.items() if key not in DRAWING_KEYS}
        return sha_of({"chart": self.chart, "runs": self.runs, "options": options})


def load(plan: Plan, folder: Path) -> dict[str, FigureView]:
    """All figures of a folder's figures.yaml, in its order. Raises any fault in that file."""
    document = yaml.read(folder / FILE)
    check(document, FiguresFile)
    views = {}
    for name, line in document.value["figures"].items():
        check(document, _chart(document, name, line), at=("figures", name), noun="figure")
        views[name] = _view(plan, document, name, line, folder / STYLE)
    return views


def _chart(document: Document, name: str, line: dict[str, Any]) -> Any:
    """The type with the keys of a figure's chart."""
    place, chart = ("figures", name), line.get("chart")
    if "chart" not in line:
        raise UserError(f"missing key 'chart' in 'figures.{name}'", where=document.where(place))
    if chart not in CHARTS:
        what = f"'chart' in 'figures.{name}' must be one of {', '.join(CHARTS)}, not {chart!r}"
        where = document.where((*place, "chart"))
        raise UserError(what, where=where, hint=nearest(str(chart), CHARTS, otherwise=""))
    return CHARTS[chart]


def find(views: dict[str, FigureView], name: str) -> FigureView:
    if name not in views:
        raise UserError(f"no figure is named '{name}'", hint=nearest(name, views))
    return views[name]


def probe_file(view: FigureView) -> Path:
    """The file that the probe writes for a figure; a chart of results has none."""
    if view.probed is None:
        what = f"figure '{view.name}' is drawn from results alone and needs no probe"
        raise UserError(what, hint=f"python -m dualdistill figure {view.name}")
    return view.probed


def check_probe(plan: Plan, view: FigureView) -> None:
    """Check that no probe is due for which taken-in runs lack weights, boxes or a checkpoint."""
    if view.probed is None or view.probed.exists():
        return
    for run in (plan.runs[run] for run in view.runs):
        if view.chart == "key_frame":
            if not (plan.scores(run) / RESULTS).exists():
                plan.check_prediction(run)
            continue
        plan.check_weights(run)
        if view.chart in MAPS:
            for other in run.needs:
                plan.check_weights(plan.runs[other])
            known = plan.taken(run)
            if known and not (known.folder / "state" / "head.json").exists():
                hint = f"its checkpoint is on {known.manifest.host}, where it was trained"
                raise known.lacks("the weights of its method", hint)


def keeps(show: Mapping[str, Sequence[str]], labels: Mapping[str, str]) -> bool:
    """Test whether a row prints one of the words in every column that `show` names."""
    return all(labels[column] in words for column, words in show.items())


def _network(plan: Plan, run: str) -> str:
    """A network in the words of tables.yaml, e.g. "DualDistill ResNet-50 taught by MVP"."""
    words = [plan.words.get(part, part) for part in label(plan.runs[run].spec).split("-")]
    return " taught by ".join([" ".join(words[:2]), *words[2:]])


def _view(plan: Plan, document: Document, name: str, line: dict[str, Any], style: Path) -> FigureView:
    chart, table = line["chart"], line.get("table")
    options = {key: value for key, value in line.items() if key not in ("chart", "title", "table")}
    if table is not None:
        _check_columns(plan, document, name, line)
        shown = [row for row in plan.tables[table].rows if keeps(line.get("show", {}), row.shown)]
        rows, runs = tuple(row.row for row in shown), tuple(run for row in shown for run in row.runs)
        options["marks"] = document.value["marks"]
    else:
        rows, runs = (), tuple(_runs(plan, document, name, line))
    if chart in ("key_frame", *MAPS):
        options |= document.value["frame"]
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


def _check_columns(plan: Plan, document: Document, name: str, line: dict[str, Any]) -> None:
    """Check that the table exists, with the columns and words that the figure takes from it."""

    def refuse(what: str, key: str, hint: str) -> None:
        raise UserError(f"figure '{name}' {what}", where=document.where(("figures", name, key)), hint=hint)

    if line["table"] not in plan.tables:
        refuse(f"shows the unknown table '{line['table']}'", "table", nearest(line["table"], plan.tables))
    table, show = plan.tables[line["table"]], line.get("show", {})
    filters = [("show", show), *(("lines", words) for words in line.get("lines", {}).values())]
    named = [(key, line[key], table.columns) for key in COLUMN_KEYS if key in line]
    named += [("x", line["x"], (*table.columns, *table.measures))] if "x" in line else []
    named += [(key, column, table.columns) for key, words in filters for column in words]
    for key, column, known in named:
        if column not in known:
            what = f"names column '{column}', which {line['table']} does not have"
            refuse(what, key, nearest(column, known))
    for key, column, wanted in [(key, *item) for key, words in filters for item in words.items()]:
        printed = {row.shown[column] for row in table.rows}
        for word in wanted:
            if word not in printed:
                what = f"shows '{word}', which no row of {line['table']} prints as its {column}"
                refuse(what, key, nearest(word, printed - {""}))
    if not any(keeps(show, row.shown) for row in table.rows):
        what = f"shows no row of {line['table']}: none prints all of these words"
        refuse(what, "show", "name fewer columns")
    if "mark" in line:
        for row in table.rows:
            word = row.shown[line["mark"]]
            if keeps(show, row.shown) and word and word not in document.value["marks"]:
                refuse(f"has no mark for '{word}'", "mark", "add it to marks")


def _runs(plan: Plan, document: Document, name: str, line: dict[str, Any]) -> Iterable[str]:
    """The runs of a figure's rows: all seeds of `rows`, a single seed of `teacher` and `student`."""
    named = [("rows", row, plan.settings.seeds) for row in line.get("rows", [])]
    first = plan.settings.seeds[0]
    named += [("teacher", line["teacher"], (plan.settings.teacher_of(first),))] if "teacher" in line else []
    named += [("student", line["student"], (first,))] if "student" in line else []
    for key, row, seeds in named:
        where = document.where(("figures", name, key))
        by_seed = {run.spec.seed: run for run in plan.runs.values() if row in run.rows}
        if not by_seed:
            known = {row for run in plan.runs.values() for row in run.rows}
            what = f"figure '{name}' shows the unknown row '{row}'"
            raise UserError(what, where=where, hint=nearest(row, known))
        only = next(iter(by_seed.values()))
        for run in [only] if only.spec.imported else [by_seed[seed] for seed in seeds]:
            spec = run.spec
            if key != "rows" and spec.kind != key:
                what = f"figure '{name}' needs a {key}, but '{row}' trains a {spec.kind}"
                raise UserError(what, where=where)
            if line["chart"] in MAPS and spec.distill is None:
                what = f"figure '{name}' needs a student with a method, but '{row}' has no method"
                raise UserError(what, where=where)
            yield run.id


def records(plan: Plan, runs: Iterable[str], *names: str) -> list[str]:
    """The record of each run, and files of these names beside it."""
    return [str(plan.results / "runs" / run / name) for run in runs for name in (RUN, *names)]
