"""Runs that were taken in: no rule makes them, and what needs weights that did not come is a sentence."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from finished_runs import elsewhere, take_all

from dualdistill.errors import UserError
from dualdistill.evidence.pack import Options, pack
from dualdistill.plan.plan import Plan
from dualdistill.plan.snakemake_inputs import FigureJobs, Jobs
from dualdistill.store.files import read_json, write_json

TEACHER, R50, OURS = 0, 1, 2  # lines of the small table


def taken_in(plan: Plan, tmp_path: Path, *lines: int, weights: bool = False) -> Plan:
    """The plan in a clone that has taken in these lines of its table, or all."""
    rows = plan.table("table_main").rows
    names = [run for line in lines or range(len(rows)) for run in rows[line].runs]
    list(pack(plan, names, tmp_path / "evidence", Options(weights=weights)))
    clone = elsewhere(plan, tmp_path / "clone")
    list(take_all(clone, tmp_path / "evidence"))
    return clone


def runs_of(plan: Plan, line: int) -> tuple[str, ...]:
    return plan.table("table_main").rows[line].runs


def table(plan: Plan) -> list[str]:
    return [str(plan.shown / "table_main.csv")]


def test_no_rule_trains_predicts_or_scores_a_run_that_was_taken_in(plan: Plan, tmp_path: Path) -> None:
    jobs = Jobs(taken_in(plan, tmp_path, TEACHER, R50))
    for run in (*runs_of(plan, TEACHER), *runs_of(plan, R50)):
        for pattern in (jobs.students, jobs.teachers, jobs.with_boxes):
            assert not re.fullmatch(pattern, run)
    for run in runs_of(plan, OURS):
        assert re.fullmatch(jobs.students, run)
        assert re.fullmatch(jobs.with_boxes, run)


def test_a_student_that_was_taken_in_needs_no_teacher(plan: Plan, tmp_path: Path) -> None:
    clone = taken_in(plan, tmp_path, OURS)
    jobs, needed = Jobs(clone), {run.id for run in Jobs(clone)._needed(table(clone))}
    assert not needed & {*runs_of(plan, OURS)}
    only = [path for path in jobs.measured(runs_of(plan, OURS)) if "centerpoint-s" in path]
    assert all(path.split("/runs/")[1].startswith("dualdistill") for path in only)
    # trained here, the same students need the score of their teacher
    assert any("/runs/centerpoint-s" in path for path in Jobs(plan).measured(runs_of(plan, OURS)))


def test_targets_of_taken_runs_alone_need_no_data_set(plan: Plan, tmp_path: Path) -> None:
    clone = taken_in(plan, tmp_path)
    real = replace(clone, data=replace(clone.data, world=None))
    with pytest.raises(UserError, match="data_root is not set"):
        real.check_root()
    Jobs(real).check_root(table(real))
    Jobs(real).check_taken(table(real))


def test_another_split_needs_the_weights(plan: Plan, tmp_path: Path) -> None:
    clone = taken_in(plan, tmp_path)
    dev = replace(clone, settings=replace(clone.settings, split="dev"))
    with pytest.raises(UserError) as caught:
        Jobs(dev).check_taken(table(dev))
    (student,) = [run for run in runs_of(plan, R50) if run in str(caught.value)]
    command = f"python -m dualdistill bundle pack {student} --weights --into FOLDER"
    assert f"run {student} was taken in without its weights (they are on " in str(caught.value)
    assert command in str(caught.value)
    with pytest.raises(UserError, match="was taken in without its boxes on val"):
        clone.check_prediction(clone.runs[student])
    with pytest.raises(UserError, match="was taken in without its weights"):
        dev.check_prediction(clone.runs[student])
    teacher = runs_of(plan, TEACHER)[0]
    dev.check_prediction(clone.runs[teacher])  # its weights came with it
    assert re.fullmatch(Jobs(dev).with_boxes, teacher)


def test_a_run_that_is_trained_here_needs_the_weights_behind_it(plan: Plan, tmp_path: Path) -> None:
    clone = taken_in(plan, tmp_path, TEACHER)
    Jobs(clone).check_taken(table(clone))
    for run in runs_of(plan, TEACHER):
        (clone.folder(clone.runs[run]) / "model.safetensors").unlink()
    with pytest.raises(UserError, match=rf"run {runs_of(plan, TEACHER)[0]} was taken in without its weights"):
        Jobs(clone).check_taken(table(clone))


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("model.safetensors", r"was taken in without model\.safetensors"),
        ("results_nusc.json", r"was taken in without results_nusc\.json"),
        ("metrics_details.json", r"was taken in without metrics_details\.json"),
    ],
)
def test_a_file_that_no_bundle_holds_is_a_sentence(
    plan: Plan, tmp_path: Path, file: str, sentence: str
) -> None:
    clone = taken_in(plan, tmp_path)
    folder = clone.folder(clone.runs[runs_of(plan, R50)[0]])
    Jobs(clone).check_taken([str(folder / "metrics.json")])
    with pytest.raises(UserError, match=sentence):
        Jobs(clone).check_taken([str(folder / file)])


def test_figures_of_networks_that_did_not_come_are_left_out(plan: Plan, tmp_path: Path, folder: Path) -> None:
    figures = FigureJobs(Jobs(taken_in(plan, tmp_path)), folder)
    assert set(figures.left_out) == {"frame", "attention", "alignment"}
    assert "figures/main.png" in figures.files
    assert not [file for file in figures.files if "frame" in file or "attention" in file]
    assert figures.notes(["results/table_main.csv"]) == []
    notes = figures.notes([])
    assert len(notes) == 3
    assert notes[0].startswith("figure frame is left out: run centerpoint-s0")
    with pytest.raises(UserError, match="was taken in without its weights"):
        figures.check_targets(["figures/attention.png"])
    whole = FigureJobs(Jobs(taken_in(plan, tmp_path / "whole", weights=True)), folder)
    assert "was taken in without the weights of its method" in str(whole.left_out["attention"])


def test_a_figure_whose_probe_was_made_before_stays(plan: Plan, tmp_path: Path, folder: Path) -> None:
    clone = taken_in(plan, tmp_path)
    for name in ("frame", "attention", "alignment"):
        probe = clone.shown / "probes" / f"{name}.npz"
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
    figures = FigureJobs(Jobs(clone), folder)
    assert figures.left_out == {}
    inputs = figures.probed_runs(SimpleNamespace(figure="frame"))
    assert all(path.endswith("run.json") for path in inputs)


def test_a_run_that_is_trained_again_is_no_longer_taken_in(plan: Plan, tmp_path: Path) -> None:
    clone = taken_in(plan, tmp_path)
    run = clone.runs[runs_of(plan, R50)[0]]
    assert clone.taken(run)
    record = clone.folder(run) / "run.json"
    write_json(record, read_json(record) | {"seconds": 1.0})
    assert clone.taken(run) is None
    record.unlink()
    assert clone.taken(run) is None


def test_the_page_shows_what_is_here_of_the_runs_before(plan: Plan, tmp_path: Path) -> None:
    shown = set(taken_in(plan, tmp_path).shown_runs())
    assert {run for line in range(5) for run in runs_of(plan, line)} == shown  # no pre-training came
