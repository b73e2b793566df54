"""Sums of what jobs took, from the measurements that snakemake leaves beside results."""

import json
from pathlib import Path

import pytest

from dualdistill.errors import DataError
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan
from dualdistill.report import timing


def measured(folder: Path, name: str, seconds: float, mebibytes: float | str) -> Path:
    path = folder / "benchmarks" / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"s": seconds, "max_rss": mebibytes}) + "\n")
    return path


def test_a_plan_without_benchmarks_is_one_line(plan: Plan):
    assert timing.lines(plan) == [f"no job of this plan has run under snakemake in {plan.results}"]


def test_jobs_are_summed_by_stage_in_the_order_they_run(plan: Plan):
    data = plan.results / "data" / plan.data_id
    students = [plan.folder(run) for run in plan.runs.values() if run.spec.kind == "student"]
    measured(data, "world", 120.0, 512.0)
    measured(students[0], "train", 60.0, 1024.0)
    measured(students[1], "train", 120.0, 2048.0)
    measured(students[1], "evaluate", 6.0, 100.0)
    _, *stages, total = timing.lines(plan)
    assert [line.split() for line in stages] == [
        ["world", "1", "2.0", "2.0", "0.50"],
        ["train:", "student", "2", "3.0", "2.0", "2.00"],
        ["evaluate", "1", "0.1", "0.1", "0.10"],
    ]
    assert total.split()[:3] == ["all", "4", "5.1"]


def test_a_job_too_short_for_a_sample_has_its_time_and_an_unknown_memory(plan: Plan):
    students = [plan.folder(run) for run in plan.runs.values() if run.spec.kind == "student"]
    measured(students[0], "train", 60.0, "NA")
    measured(students[1], "train", 60.0, 1024.0)
    measured(students[1], "evaluate", 0.6, "NA")
    _, train, evaluate, _ = (line.split() for line in timing.lines(plan))
    assert train[2:] == ["2", "2.0", "1.0", "1.00"]
    assert evaluate[1:] == ["1", "0.0", "0.0", "-"]


def test_virtual_points_count_where_a_run_is_given_them(checkout: Path, tmp_path: Path):
    made = planning.load(checkout / "config" / "config.yaml", results=tmp_path / "results")
    measured(made.results / "data" / made.data_id, next(iter(made.virtual)), 30.0, 256.0)
    assert timing.lines(made)[1].split() == ["virtual", "points", "1", "0.5", "0.5", "0.25"]


def test_runs_of_another_plan_are_left_out(plan: Plan):
    measured(plan.results / "runs" / "bevdepth-r50-s0-0000000000", "train", 60.0, 1.0)
    measured(plan.results / "data" / plan.data_id, "virtual-0000000000", 60.0, 1.0)
    assert "no job" in timing.lines(plan)[0]


def test_the_path_of_a_damaged_benchmark_is_reported(plan: Plan):
    path = measured(plan.results / "data" / plan.data_id, "world", 1.0, 1.0)
    path.write_text("{}\n")
    with pytest.raises(DataError, match="not a measurement") as caught:
        timing.lines(plan)
    assert str(path) in str(caught.value)
