"""Rows become runs: hashed by content, the same whatever their order, one run for equal specs."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dualdistill.config import method_options, run_spec
from dualdistill.config.run_spec import RunSpec
from dualdistill.plan import identity, plan
from dualdistill.plan.snakemake_inputs import Jobs
from dualdistill.store.files import sha_of

PROFILES = ("smoke", "world", "nuscenes")
METHODS = ("dualdistill", "distillbev", "tigbev", "labeldistill")
STUDENTS = (
    "bevdepth-r50",
    "bevdepth-r101",
    *(f"{method}-{backbone}-centerpoint" for method in METHODS for backbone in ("r50", "r101")),
)
MVP = ("mvp", *(f"{method}-{backbone}-mvp" for method in METHODS[:2] for backbone in ("r50", "r101")))


def planned(folder: Path, **overrides: Any) -> plan.Plan:
    return plan.load(folder / "config.yaml", overrides)


def add(folder: Path, text: str) -> None:
    with (folder / "variants.yaml").open("a") as stream:
        stream.write(text + "\n")


def spec_of(found: plan.Plan, row: str) -> RunSpec:
    return found.run(row).spec


def test_planning_is_quick_and_imports_no_torch():
    code = (
        "import sys, time; t = time.process_time(); import dualdistill.plan; print(time.process_time() - t); "
    )
    code += "print([name for name in ('torch', 'numpy', 'snakemake') if name in sys.modules])"
    tries = [subprocess.check_output([sys.executable, "-c", code], text=True) for _ in range(3)]
    seconds, heavy = zip(*(printed.split("\n", 1) for printed in tries), strict=True)
    assert {text.strip() for text in heavy} == {"[]"}
    assert min(map(float, seconds)) < 0.3


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_plans_every_row(folder: Path, profile: str):
    found = planned(folder, profile=profile)
    assert {row for run in found.runs.values() for row in run.rows} >= {"centerpoint", *STUDENTS, *MVP}
    for run in found.runs.values():
        assert run.id == f"{identity.label(run.spec)}-s0-{run.spec.sha[:10]}"
    for row in ("centerpoint", *STUDENTS, *MVP):
        assert found.run(row).id.startswith(f"{row}-s0-")


def test_the_plan_is_the_same_twice(folder: Path):
    assert planned(folder) == planned(folder)


@pytest.mark.parametrize("name", ["variants.yaml", "profiles/world.yaml"])
def test_the_order_of_rows_and_keys_changes_no_run(folder: Path, name: str):
    before = planned(folder)
    path = folder / name
    value = yaml.safe_load(path.read_text())

    def reversed_keys(part: Any) -> Any:
        return {key: reversed_keys(part[key]) for key in reversed(part)} if isinstance(part, dict) else part

    path.write_text(yaml.safe_dump(reversed_keys(value), sort_keys=False))
    assert planned(folder).runs == before.runs


@given(st.randoms(use_true_random=False))
@hypothesis_settings(max_examples=20, deadline=None)
def test_the_hash_ignores_key_order(random):
    def shuffled(part: Any) -> Any:
        if not isinstance(part, dict):
            return part
        keys = sorted(part)
        random.shuffle(keys)
        return {key: shuffled(part[key]) for key in keys}

    value = {"b": {"d": 1.0, "c": [1, 2]}, "a": None, "e": {"g": "x", "f": True}}
    assert sha_of(shuffled(value)) == sha_of(value)


def test_equal_specs_are_one_run(folder: Path):
    before = planned(folder).runs
    add(folder, "same: {from: dualdistill-r50-centerpoint, temperature: 0.1, crd: true, schedule.ema: 0}")
    found = planned(folder)
    assert found.run("same") is found.run("dualdistill-r50-centerpoint")
    assert found.run("same").rows == ("dualdistill-r50-centerpoint", "same")
    assert found.runs.keys() == before.keys()


def test_a_row_changes_what_it_says_and_nothing_else(folder: Path):
    changes = "temperature: 0.5, model.head.nms_iou: 0.3, schedule.epochs: 3"
    add(folder, f"t: {{from: dualdistill-r50-centerpoint, {changes}}}")
    found = planned(folder)
    parent, child = spec_of(found, "dualdistill-r50-centerpoint"), spec_of(found, "t")
    assert child.distill.options == parent.distill.options | {"temperature": 0.5}
    assert (child.model.head.nms_iou, child.schedule.epochs) == (0.3, 3)
    assert (child.teacher, child.data, child.input) == (parent.teacher, parent.data, parent.input)


def test_another_method_drops_the_options_of_the_one_before(folder: Path):
    add(folder, "hot: {from: dualdistill-r50-centerpoint, temperature: 1.0}")
    add(folder, "other: {from: hot, method: tigbev}")
    assert spec_of(planned(folder), "other").distill.options == method_options.fill("tigbev", {})


def test_students_of_all_seeds_learn_from_one_teacher(folder: Path):
    found = planned(folder, seeds=[1, 2], teacher_seed=0)
    taught = [run for run in found.runs.values() if run.spec.distill]
    teachers = {run for run in found.runs if run.startswith(("centerpoint-s0", "mvp-s0"))}
    assert {run.teacher for run in taught} == teachers
    # one run per row that teaches
    assert len(teachers) == len({name for run in teachers for name in found.runs[run].rows})
    assert all(run.spec.teacher == found.runs[run.teacher].spec for run in taught)
    assert {run.spec.seed for run in taught} == {1, 2}
    assert [len(row.runs) for row in found.tables["table_main"].rows] == [2, 2, 2, 2, 2]


def test_a_seed_more_leaves_the_runs_before_alone(folder: Path):
    assert planned(folder).runs.items() <= planned(folder, seeds=[0, 1]).runs.items()


def test_a_camera_knob_retrains_students_and_no_teacher(folder: Path):
    before = planned(folder)
    path = folder / "profiles" / "world.yaml"
    path.write_text(re.sub(r"resize_test: [\d.]+", "resize_test: 0.017", path.read_text()))
    after = planned(folder)
    assert spec_of(after, "centerpoint") == spec_of(before, "centerpoint")
    assert spec_of(after, "bevdepth-r50") != spec_of(before, "bevdepth-r50")


def test_a_teacher_may_see_its_frames_turned_further_than_its_students_do(folder: Path):
    path = folder / "profiles" / "smoke.yaml"
    turned = "teacher_input: {bev_rotate_deg: 31.5, bev_flip: true}"
    path.write_text(f"{path.read_text()}{turned}\n")
    found = planned(folder, profile="smoke")
    student, teacher = spec_of(found, "dualdistill-r50-centerpoint"), spec_of(found, "centerpoint")
    assert (teacher.input.bev_rotate_deg, teacher.input.bev_flip) == (31.5, True)
    assert student.teacher == teacher
    assert student.input.bev_rotate_deg != 31.5
    assert student.input.sweeps == teacher.input.sweeps


@pytest.mark.parametrize(
    ("stage", "data", "runs", "jobs"),
    [("WORLD", True, True, True), ("TRAIN", False, True, True), ("PREDICT", False, False, True)],
)
def test_a_raised_version_changes_exactly_what_depends_on_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stage: str, data: bool, runs: bool, jobs: bool
):
    def state() -> tuple[str, list[str], str]:
        found = planned(folder)
        first = SimpleNamespace(run=next(iter(found.runs)))
        return found.data_id, list(found.runs), Jobs(found).prediction_sha(first)

    before = state()
    monkeypatch.setattr(identity, stage, getattr(identity, stage) + 1)
    assert tuple(old != new for old, new in zip(before, state(), strict=True)) == (data, runs, jobs)


def test_the_data_root_is_not_part_of_a_run(folder: Path):
    one, other = (planned(folder, profile="nuscenes", data_root=root) for root in ("/a", "/b"))
    assert one.runs == other.runs
    assert one.data_id == other.data_id
    assert one.paths.root != other.paths.root


def test_the_same_table_of_another_profile_is_another_job(folder: Path):
    name = SimpleNamespace(table="table_main")
    shas = {Jobs(planned(folder, profile=profile)).table_sha(name) for profile in PROFILES}
    assert len(shas) == len(PROFILES)


def test_what_the_command_line_overrides_reaches_the_commands(folder: Path):
    found = planned(folder, profile="smoke", seeds=["0", "2"])
    assert found.arguments.split(" ", 2)[2] == "--profile smoke --set 'seeds=[0, 2]'"


def test_the_published_sizes_are_in_the_nuscenes_profile(folder: Path):
    found = planned(folder, profile="nuscenes")
    r50, r101 = spec_of(found, "dualdistill-r50-centerpoint"), spec_of(found, "dualdistill-r101-centerpoint")
    assert (r50.input.image_height, r50.input.image_width) == (256, 704)
    assert (r101.input.image_height, r101.input.image_width) == (512, 1408)
    assert (r50.grid.cells, r50.teacher.model.pillar_m) == (128, 0.2)
    assert (r50.model.depth, r101.model.depth) == (50, 101)
    assert (r50.schedule.epochs, r50.schedule.steps, r50.schedule.cbgs) == (24, (16, 22), True)
    # of each class's footprint, as published: long vehicles shrink, pedestrians and cones grow
    scales = (1.0, 0.7, 0.7, 0.4, 0.55, 1.0, 1.0, 1.0, 4.5, 9.0)
    assert r50.model == run_spec.BEVDepthSpec(
        activation_checkpoint=True, head=run_spec.HeadSpec(nms_scale=scales)
    )
    assert r50.teacher.model == run_spec.TeacherSpec()
    assert spec_of(found, "mvp").model == run_spec.MVPSpec()


def test_columns_are_headed_as_the_field_spells_them():
    tables = plan.load().tables
    assert tables["table_ablation_components"].headings == {
        "mfd": "MFD",
        "crd": "CRD",
        "mAP": "mAP",
        "NDS": "NDS",
    }
    errors = tables["table_errors"].headings
    assert (errors["row"], errors["mATE"], errors["AP_traffic_cone"]) == ("Row", "mATE", "AP traffic cone")
