"""Rows with `weights: file` are runs of their own that nothing trains."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dualdistill.errors import DataError
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan, Run
from dualdistill.plan.snakemake_inputs import Jobs
from dualdistill.store.files import write_json

ROWS = """
theirs: {from: distillbev-r50-centerpoint, weights: file}
others: {from: theirs}
their-teacher: {model: centerpoint, weights: file}
taught: {from: dualdistill-r50-centerpoint, teacher: their-teacher}
tuned: {from: centerpoint, weights: their-teacher, schedule.epochs: 1}
further: {from: dualdistill-r50-centerpoint, weights: theirs, schedule.epochs: 1}
"""
TABLE = """
  table_theirs:
    title: theirs
    columns: [row]
    rows: [{row: theirs}, {row: their-teacher}]
  table_taught:
    title: taught
    columns: [row]
    rows: [{row: taught}, {row: theirs}]
"""


@pytest.fixture
def config(folder: Path) -> Path:
    """The small configuration with two imported students, an imported teacher and what is made of it."""
    with (folder / "variants.yaml").open("a") as stream:
        stream.write(ROWS)
    with (folder / "tables.yaml").open("a") as stream:
        stream.write(TABLE)
    return folder


def planned(config: Path, **overrides: Any) -> Plan:
    return planning.load(config / "config.yaml", overrides, config.parent / "results")


def leave(plan: Plan, run: Run) -> None:
    write_json(plan.folder(run) / "run.json", {"schema": 1, "spec_sha": run.spec.sha, "outputs": {}})


def test_two_imported_rows_of_one_network_are_two_runs(config: Path):
    plan = planned(config)
    one, other = plan.run("theirs"), plan.run("others")
    assert one.id != other.id
    assert replace(one.spec, imported=None) == replace(other.spec, imported=None)
    assert one.id.startswith("theirs-s0-")


def test_an_imported_run_needs_nothing_and_no_recipe_changes_it(config: Path):
    plan = planned(config, profile="nuscenes")
    run = plan.run("theirs")
    assert (run.needs, run.spec.distill, run.spec.schedule.epochs) == ((), None, 0)
    assert plan.start_file(run) is None
    assert planned(config, profile="nuscenes", recipe="as_published").run("theirs") == run


def test_every_seed_has_the_same_imported_run(config: Path):
    plan = planned(config, seeds=[0, 1, 2])
    table = plan.table("table_theirs")
    assert [row.runs for row in table.rows] == [(plan.run("theirs").id,), (plan.run("their-teacher").id,)]
    assert all(row.imported and row.remark.startswith("Imported, not trained here") for row in table.rows)
    assert len(plan.table("table_taught").rows[0].runs) == 3


def test_students_learn_and_teachers_start_from_an_imported_teacher(config: Path):
    plan = planned(config)
    teacher = plan.run("their-teacher")
    assert plan.run("taught").teacher == teacher.id
    tuned = plan.run("tuned")
    assert tuned.pretraining == teacher.id
    assert plan.start_file(tuned) == plan.folder(teacher) / "model.safetensors"


def test_no_rule_trains_an_imported_row(config: Path):
    plan = planned(config)
    jobs, run = Jobs(plan), plan.run("theirs").id
    assert run not in jobs.students.replace("\\", "")
    assert plan.run("their-teacher").id not in jobs.teachers.replace("\\", "")
    assert run in jobs.with_boxes.replace("\\", "")
    wildcards = SimpleNamespace(run=plan.run("taught").id)
    assert jobs.teacher(wildcards) == [str(plan.folder(plan.run("their-teacher")) / "run.json")]


@pytest.mark.parametrize(
    ("target", "row"),
    [("table_theirs", "their-teacher"), ("table_taught", "their-teacher"), ("table_main", None)],
)
def test_a_missing_import_is_one_sentence_before_any_job(config: Path, target: str, row: str | None):
    plan = planned(config)
    jobs = Jobs(plan)
    targets = [str(plan.shown / f"{target}.csv")]
    if row is None:
        jobs.check_imports(targets)
        return
    with pytest.raises(DataError) as caught:
        jobs.check_imports(targets)
    command = f"python -m dualdistill import-checkpoint FILE --as {row}"
    assert str(caught.value) == f"row {row} is imported: {command} --profile world"
    leave(plan, plan.run(row))
    with pytest.raises(DataError, match="row theirs is imported"):
        jobs.check_imports(targets)
    leave(plan, plan.run("theirs"))
    jobs.check_imports(targets)


def test_a_table_of_imported_rows_is_part_of_all_once_they_are_imported(config: Path):
    plan = planned(config)
    theirs = str(plan.shown / "table_theirs.csv")
    mixed = str(plan.shown / "table_taught.csv")
    assert theirs not in Jobs(plan).views
    assert mixed in Jobs(plan).views
    with pytest.raises(DataError, match="is imported"):
        Jobs(plan).check_imports([])  # the table that mixes them with trained rows is not left out
    leave(plan, plan.run("theirs"))
    assert theirs not in Jobs(plan).views
    leave(plan, plan.run("their-teacher"))
    assert theirs in Jobs(plan).views
    Jobs(plan).check_imports([])


def test_an_imported_student_keeps_the_released_geometry(config: Path):
    plan = planned(config)
    assert plan.run("theirs").spec.model.geometry == "released"
    assert plan.run("taught").spec.model.geometry == "exact"


def test_a_student_trained_further_starts_from_the_imported_one_alone(config: Path):
    plan = planned(config, seeds=[0, 1])
    runs = [run for run in plan.runs.values() if "further" in run.rows]
    assert {run.pretraining for run in runs} == {plan.run("theirs").id}
    for run in runs:
        assert plan.start_file(run) == plan.folder(plan.run("theirs")) / "model.safetensors"
        assert (run.spec.model.start, run.spec.model.geometry) == ("random", "exact")
