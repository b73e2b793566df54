"""What stands on the page: the tables and pictures it is given, and every trained run behind the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dualdistill.plan import WITHOUT_BOXES, Plan
from dualdistill.records import METRICS, RUN
from dualdistill.report.collect import NOT_COMPARABLE, command
from dualdistill.report.page import grid, pictures
from dualdistill.report.page import run as runs
from dualdistill.report.page.grid import FACETS, Cell, Column, Grid, Line
from dualdistill.report.page.pictures import Picture
from dualdistill.report.page.run import Facts, Known, RunPage


@dataclass(frozen=True)
class Content:
    title: str
    measured_on: str
    notice: str
    facts: Facts
    tables: tuple[Grid, ...]
    facets: tuple[tuple[str, tuple[str, ...]], ...]
    pictures: tuple[Picture, ...]
    run_table: Grid
    runs: tuple[RunPage, ...]
    command: str

    @property
    def ids(self) -> dict[str, str]:
        """The runs that have a section of their own, with their titles."""
        return {run.id: run.title for run in self.runs}


def gather(plan: Plan, tables: Sequence[Path], figures: Sequence[Path], views: Mapping[str, Any]) -> Content:
    """Everything of these files and of the plan's runs, as far as they are there."""
    titles = {name: table.title for name, table in plan.tables.items()}
    grids = [grid.read(path, titles.get(path.stem, "")) for path in tables]
    images = pictures.load(figures, views, titles)
    known = {name: _known(plan, name) for name in plan.shown_runs()}
    taken = Counter(one.title for one in known.values())
    found = []
    for name, one in known.items():
        run = plan.runs[name]
        if taken[one.title] > 1:
            # rows that a table tells apart by a column of its own
            one = replace(one, title=f"{one.title} ({', '.join(run.rows) or name})")
        shown_on = tuple(image for image in images if image.rows & set(run.rows))
        last = plan.folder(run) / RUN if run.spec.kind in WITHOUT_BOXES else plan.scores(run) / METRICS
        line = command(plan, last)
        if page := runs.build(plan, run, one, shown_on, line):
            found.append(page)
    facets = _facets(grids)
    grids = [_with_facets(table, facets) for table in grids]
    data = plan.measured_on
    return Content(
        title=f"LiDAR-to-camera distillation {'in a synthetic world' if plan.data.world else f'on {data}'}",
        measured_on=data,
        notice=NOT_COMPARABLE if plan.data.world else "",
        facts=_facts(plan, found),
        tables=tuple(grids),
        facets=_choices(grids),
        pictures=images,
        run_table=_run_table(found, facets),
        runs=tuple(found),
        command=command(plan, plan.shown / "index.html"),
    )


def _known(plan: Plan, name: str) -> Known:
    """A run's title, baseline and reported numbers, from the first table that has them."""
    title, baseline = "", None
    reported: dict[str, float] = {}
    for table in plan.tables.values():
        lines = {row.row: row for row in table.rows}
        for row in table.rows:
            if name in row.runs:
                title = title or _title(row.shown)
                reported = reported or {metric: told.value for metric, told in row.reported.items()}
                if row.baseline and not baseline:
                    baseline = lines[row.baseline].runs[row.runs.index(name)]
    run = plan.runs[name]
    title = title or ", ".join(run.rows) or name.rsplit("-s", 1)[0]
    return Known(f"{title}, seed\N{NO-BREAK SPACE}{run.spec.seed}", baseline, reported)


def _title(shown: Mapping[str, str]) -> str:
    """Method, backbone and teacher, in a table that shows them; one on a single option names no run."""
    words = [shown.get(column, "") for column in ("method", "backbone", "teacher")]
    return " \N{MIDDLE DOT} ".join(filter(None, words)) if words[0] else ""


def _facts(plan: Plan, found: Sequence[RunPage]) -> Facts:
    """What a reader asks first; the date and the code are those of the newest run."""
    settings, newest = plan.settings, max(found, key=lambda run: (run.time, run.id), default=None)
    commits = sorted({run.commit for run in found})
    others = f" and {len(commits) - 1} more" if len(commits) > 1 else ""
    facts = {
        "Data set": plan.data_id if plan.data.world else plan.data.version,
        "Profile": settings.profile,
        "Recipe": f"{settings.recipe}, {plan.recipe}",
        "Seeds": ", ".join(map(str, settings.seeds)),
        "Runs": f"{len(found)} of {len(plan.shown_runs())} trained",
        "Code": f"{newest.commit}{others}" if newest else "",
        "Newest run": newest.time[:10] if newest else "",
    }
    return tuple((name, value) for name, value in facts.items() if value)


def _facets(grids: Iterable[Grid]) -> dict[str, dict[str, str]]:
    """What the tables say of a run, for tables that do not say it again."""
    found: dict[str, dict[str, str]] = {}
    for table in grids:
        for line in table.lines:
            for run in line.runs:
                found[run] = {**line.facets, **found.get(run, {})}
    return found


def _with_facets(table: Grid, facets: dict[str, dict[str, str]]) -> Grid:
    lines = (
        replace(line, facets={**facets[line.runs[0]], **line.facets}) if line.runs else line
        for line in table.lines
    )
    return replace(table, lines=tuple(lines))


def _choices(grids: Iterable[Grid]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The values of each facet in the order in which the tables bring them; one value is no choice."""
    lines = [line for table in grids for line in table.lines]
    found = {
        facet: tuple(dict.fromkeys(line.facets[facet] for line in lines if facet in line.facets))
        for facet in FACETS
    }
    return tuple((facet, values) for facet, values in found.items() if len(values) > 1)


def _run_table(found: Sequence[RunPage], facets: dict[str, dict[str, str]]) -> Grid:
    """All runs in one table, the pre-trainings and teachers that no other table shows among them."""
    columns = (
        Column("run", "Run", names=True),
        Column("kind", "Kind"),
        Column("rows", "Rows of variants.yaml"),
        Column("mAP", "mAP", numeric=True),
        Column("NDS", "NDS", numeric=True),
        Column("seconds", "Training, minutes", numeric=True),
        Column("trained", "Trained"),
    )
    lines = []
    for run in found:
        values = {tile.name: tile.value for tile in run.tiles}
        minutes = f"{run.seconds / 60:.1f}"
        texts = (run.title, run.kind, ", ".join(run.rows), values.get("mAP", ""), values.get("NDS", ""))
        cells = tuple(Cell(text) for text in (*texts, minutes, run.time[:10]))
        lines.append(Line(cells, (run.id,), facets.get(run.id, {})))
    return Grid("runs", "Every run", columns, tuple(lines), about=())
