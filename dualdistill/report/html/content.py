"""What stands on the page: the tables and pictures it is given, and every trained run behind the tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dualdistill.plan.plan import WITHOUT_BOXES, Plan, Run
from dualdistill.plan.tables import NAMED
from dualdistill.report.collect import NOT_COMPARABLE, command
from dualdistill.report.html import pictures, table
from dualdistill.report.html import run as runs
from dualdistill.report.html.pictures import Picture
from dualdistill.report.html.run import Facts, RunPage
from dualdistill.report.html.run_labels import Known, of_shown_runs
from dualdistill.report.html.table import PLAIN, Cell, Column, Grid, Heading, Line
from dualdistill.store.records import METRICS, RUN

NAMES = {"says": "Claim"}
RULE = """\
The effect of a pair is the mean over seeds of what its first row scores above the second, seed by seed, in
points; its interval, from low to high, is Student's t on these differences, at {level}. A
claim has the effect of its weakest pair and an interval that holds the smallest effect of all its pairs: it
is supported where that lies above zero, contradicted where it lies below, and undecided otherwise, as with
one seed, which has no interval. The rule stands in config/claims.yaml, which says when it was fixed."""
PAIRS = "Every pair judged alone; a claim holds when it holds in all of its pairs."


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
    headings = {name: Heading(table.title, table.headings) for name, table in plan.tables.items()}
    headings |= _claim_headings(plan)
    known = of_shown_runs(plan)
    grids = [_with_facets(table.read(path, headings.get(path.stem, PLAIN)), known) for path in tables]
    images = pictures.load(figures, views, titles)
    found = [page for name in known if (page := _run(plan, plan.runs[name], known[name], images))]
    data = plan.measured_on
    return Content(
        title=f"LiDAR-to-camera distillation {'in a synthetic world' if plan.data.world else f'on {data}'}",
        measured_on=data,
        notice=NOT_COMPARABLE if plan.data.world else "",
        facts=_facts(plan, found),
        tables=tuple(grids),
        facets=_choices(grids),
        pictures=images,
        run_table=_run_table(found, known),
        runs=tuple(found),
        command=command(plan, plan.shown / "index.html"),
    )


def _run(plan: Plan, run: Run, known: Known, images: Sequence[Picture]) -> RunPage | None:
    shown_on = tuple(image for image in images if image.rows & set(run.rows))
    last = plan.folder(run) / RUN if run.spec.kind in WITHOUT_BOXES else plan.scores(run) / METRICS
    return runs.build(plan, run, known, shown_on, command(plan, last))


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


def _with_facets(table: Grid, known: Mapping[str, Known]) -> Grid:
    """The table with what its runs are filtered by; a line without a run has what its columns say."""
    lines = (
        replace(line, facets=known[line.runs[0]].facets) if line.runs and line.runs[0] in known else line
        for line in table.lines
    )
    return replace(table, lines=tuple(lines))


def _choices(grids: Iterable[Grid]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The values of each facet in the order in which the tables bring them; one value is no choice."""
    lines = [line for table in grids for line in table.lines]
    found = {
        facet: tuple(dict.fromkeys(line.facets[facet] for line in lines if facet in line.facets))
        for facet in NAMED
    }
    return tuple((facet, values) for facet, values in found.items() if len(values) > 1)


def _run_table(found: Sequence[RunPage], known: Mapping[str, Known]) -> Grid:
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
        lines.append(Line(cells, (run.id,), known[run.id].facets))
    return Grid("runs", "Every run", columns, tuple(lines), about=())


def _claim_headings(plan: Plan) -> dict[str, Heading]:
    """By the name of the file; a claim's own name is left out, since its sentence says it."""
    rule = RULE.format(level=f"{100 * plan.claims.level:g}\N{NO-BREAK SPACE}%")
    return {
        "claims": Heading("What the runs say of the claims", NAMES, rule, ("claim",)),
        "claims_pairs": Heading(
            "The claims, pair by pair", NAMES | {"weakest_pair": "Pair"}, PAIRS, ("claim", "pairs")
        ),
    }
