"""Content of the page: the tables of the plan, the figures, and every trained run behind the tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualdistill.plan.columns import MEASURES
from dualdistill.plan.plan import WITHOUT_BOXES, Plan
from dualdistill.plan.tables import NAMED
from dualdistill.report import collect
from dualdistill.report.claims import table as claims
from dualdistill.report.collect import Records
from dualdistill.report.html import pictures
from dualdistill.report.html import run as runs
from dualdistill.report.html.loss_curves import Pen
from dualdistill.report.html.pictures import Picture
from dualdistill.report.html.run import Facts, RunPage
from dualdistill.report.html.run_labels import RunLabels, of_shown_runs
from dualdistill.report.html.table import HtmlTable, to_html
from dualdistill.report.numbers import Score
from dualdistill.report.table import NOT_COMPARABLE, Column, Kind, Measured, Row, Table
from dualdistill.store.records import METRICS_JSON, RUN


@dataclass(frozen=True)
class Content:
    title: str
    measured_on: str
    notice: str
    facts: Facts
    tables: tuple[HtmlTable, ...]
    facets: tuple[tuple[str, tuple[str, ...]], ...]
    pictures: tuple[Picture, ...]
    run_table: HtmlTable
    runs: tuple[RunPage, ...]
    command: str

    @property
    def ids(self) -> dict[str, str]:
        """Titles of the runs that have a section of their own."""
        return {run.id: run.title for run in self.runs}


def gather(plan: Plan, figures: Sequence[Path], views: Mapping[str, Any]) -> Content:
    """Everything that the plan's runs have left so far; a table without any score is left out."""
    records, labels, pen = Records(plan), of_shown_runs(plan), Pen()
    facets = {name: label.facets for name, label in labels.items()}
    tables = [
        collect.gather(plan, name, allow_missing=True, records=records)
        for name, table in plan.tables.items()
        if plan.on_page(table)
    ]
    tables += claims.tables(plan, allow_missing=True, records=records)
    shown = [to_html(table, facets) for table in tables if any(row.measured for row in table.rows)]
    images = pictures.load(figures, views, {name: table.title for name, table in plan.tables.items()})
    pages = [page for name in labels if (page := _run(records, name, labels[name], pen, images))]
    place = "in a synthetic world" if plan.data.synthetic else f"on {plan.measured_on}"
    return Content(
        title=f"LiDAR-to-camera distillation {place}",
        measured_on=plan.measured_on,
        notice=NOT_COMPARABLE if plan.data.synthetic else "",
        facts=_facts(plan, pages),
        tables=tuple(shown),
        facets=_choices(shown),
        pictures=images,
        run_table=to_html(_run_table(records, pages), facets),
        runs=tuple(pages),
        command=collect.command(plan, plan.shown / "index.html"),
    )


def _run(
    records: Records, name: str, labels: RunLabels, pen: Pen, images: Sequence[Picture]
) -> RunPage | None:
    plan, run = records.plan, records.plan.runs[name]
    shown_on = tuple(image for image in images if image.rows & set(run.rows))
    last = plan.folder(run) / RUN if run.spec.kind in WITHOUT_BOXES else plan.scores(run) / METRICS_JSON
    return runs.build(records, run, labels, pen, shown_on, collect.command(plan, last))


def _facts(plan: Plan, pages: Sequence[RunPage]) -> Facts:
    """Data, settings and progress; the date and the code are those of the newest run."""
    settings, newest = plan.settings, max(pages, key=lambda run: (run.time, run.id), default=None)
    commits = {run.commit for run in pages}
    others = f" and {len(commits) - 1} more" if len(commits) > 1 else ""
    facts = {
        "Data set": plan.data_id if plan.data.synthetic else plan.data.version,
        "Profile": settings.profile,
        "Recipe": f"{settings.recipe}, {plan.recipe}",
        "Seeds": ", ".join(map(str, settings.seeds)),
        "Runs": f"{len(pages)} of {len(plan.shown_runs())} trained",
        "Code": f"{newest.commit}{others}" if newest else "",
        "Newest run": newest.time[:10] if newest else "",
    }
    return tuple((name, value) for name, value in facts.items() if value)


def _choices(tables: Iterable[HtmlTable]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The values of each facet in the order of the tables; a single value is no choice."""
    rows = [row for table in tables for row in table.rows]
    values = {
        facet: tuple(dict.fromkeys(row.facets[facet] for row in rows if facet in row.facets))
        for facet in NAMED
    }
    return tuple((facet, several) for facet, several in values.items() if len(several) > 1)


def _run_table(records: Records, pages: Sequence[RunPage]) -> Table:
    """All runs in one table, with the pretrainings and teachers that no other table shows."""
    columns = (
        Column("run", Kind.LABEL, "Run"),
        Column("kind", Kind.LABEL, "Kind"),
        Column("rows", Kind.LABEL, "Rows of variants.yaml"),
        Column("mAP", Kind.MEAN, "mAP"),
        Column("NDS", Kind.MEAN, "NDS"),
        Column("minutes", Kind.MEAN, "Training, minutes"),
        Column("trained", Kind.LABEL, "Trained"),
    )
    rows = []
    for page in pages:
        evidence = records.get(page.id)
        numbers = {name: MEASURES[name].find(evidence.metrics) for name in ("mAP", "NDS")} if evidence else {}
        numbers["minutes"] = page.seconds
        measured = {
            name: Measured(MEASURES[name], Score.over_seeds([value]))
            for name, value in numbers.items()
            if value is not None
        }
        labels = {
            "run": page.title,
            "kind": page.kind,
            "rows": ", ".join(page.rows),
            "trained": page.time[:10],
        }
        rows.append(Row(labels, measured, runs=(page.id,)))
    return Table("runs", "Every run", columns, tuple(rows))
