"""Tables that are made on request: neither `snakemake` without a target nor the page waits for their runs."""

from pathlib import Path
from typing import Any

import pytest
from report_runs import leave_run

from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan
from dualdistill.plan.snakemake_inputs import FigureJobs, Jobs
from dualdistill.report import status
from dualdistill.report.collect import gather

LINES = ("budget-baseline-800", "budget-dualdistill-800", "budget-baseline-1620", "budget-dualdistill-1620")
TABLE = """
  table_length:
    title: Two lengths
    columns: [method, schedule.total_steps]
    measures: [mAP, NDS, minutes]
    on_request: true
    rows:
"""


@pytest.fixture
def plan(folder: Path) -> Plan:
    """The small table, a table and a figure on request, and a part of the small table."""
    with (folder / "tables.yaml").open("a") as stream:
        stream.write(TABLE + "".join(f"      - {{row: {row}}}\n" for row in LINES))
        stream.write("  table_part: {title: A part, columns: [backbone, method], on_request: true, ")
        stream.write("rows_of: [table_main], show: {backbone: ['', ResNet-50]}}\n")
    with (folder / "figures.yaml").open("a") as stream:
        stream.write("  length: {chart: budget, table: table_length, x: schedule.total_steps}\n")
    return planned(folder)


def planned(folder: Path, **overrides: Any) -> Plan:
    made = planning.load(folder / "config.yaml", overrides, results=folder.parent / "results")
    made.paths.index.parent.mkdir(parents=True, exist_ok=True)
    made.paths.index.write_bytes(b"index")
    return made


def only_in(plan: Plan, table: str) -> set[str]:
    return {run for row in plan.table(table).rows for run in row.runs}


def test_the_target_all_leaves_them_and_their_figures_out(plan: Plan, folder: Path):
    jobs = Jobs(plan)
    assert not [view for view in jobs.views if "table_length" in view or "table_part" in view]
    figures = FigureJobs(jobs, folder)
    assert "length" in figures.views
    assert not [file for file in figures.files if "/length." in file]
    assert not only_in(plan, "table_length") & {run.id for run in jobs._needed([])}
    # a name is enough
    assert only_in(plan, "table_length") <= {
        run.id for run in jobs._needed([f"{plan.shown}/table_length.csv"])
    }


def test_a_table_may_keep_some_rows_of_another(plan: Plan):
    rows = [row.row for row in plan.table("table_part").rows]
    assert rows == ["centerpoint", "bevdepth-r50", "dualdistill-r50-centerpoint"]


def test_the_page_shows_them_when_they_are_complete_and_no_part(plan: Plan):
    runs = only_in(plan, "table_length")
    assert not runs & set(plan.shown_runs())
    first, *others = sorted(runs)
    for run in others:
        leave_run(plan, run, 0.3)
    assert not plan.on_page(plan.table("table_length"))
    leave_run(plan, first, 0.3)
    assert runs <= set(plan.shown_runs())
    assert not plan.on_page(plan.table("table_part"))


def test_status_waits_for_none_of_their_runs_and_shows_those_that_have_begun(plan: Plan):
    runs = only_in(plan, "table_length")
    assert not runs & {run.run for run in status.gather(plan).runs}
    leave_run(plan, (begun := min(runs)), 0.3)
    assert {run.run for run in status.gather(plan).groups["table_length"]} == {begun}


def test_a_number_of_the_row_is_a_column(plan: Plan):
    for run in only_in(plan, "table_length"):
        leave_run(plan, run, 0.3)
    table = gather(plan, "table_length")
    assert [row.labels["schedule.total_steps"] for row in table.rows] == ["800", "800", "1620", "1620"]
    assert next(column.heading for column in table.columns if column.name == "schedule.total_steps") == (
        "Total steps"
    )


def test_rows_with_the_same_seeds_have_gains_though_others_are_missing(folder: Path):
    """As where ResNet-101 has fewer seeds than ResNet-50."""
    plan = planned(folder, seeds=[0, 1, 2])
    for row in plan.table("table_main").rows:
        for run in row.runs[: 2 if "r101" in row.row else 3]:
            leave_run(plan, run, 0.4 if "dualdistill" in row.row else 0.3)
    rows = gather(plan, "table_main", allow_missing=True).rows
    assert [row.seeds for row in rows] == [3, 3, 3, 2, 2]
    assert [row.measured["mAP"].gain_text() for row in rows if row.measured["mAP"].gain] == ["10.0", "10.0"]


def test_means_over_different_seeds_have_no_gain(folder: Path):
    plan = planned(folder, seeds=[0, 1])
    for row in plan.table("table_main").rows:
        for run in row.runs[: 1 if row.row == "bevdepth-r50" else 2]:
            leave_run(plan, run, 0.3)
    rows = gather(plan, "table_main", allow_missing=True).rows
    assert rows[2].measured["mAP"].gain is None
    assert rows[4].measured["mAP"].gain is not None
