"""Rows become runs: ids hash the content, order does not matter, and equal specs share a run."""

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
from dualdistill.errors import UserError
from dualdistill.plan import identity
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan
from dualdistill.plan.snakemake_inputs import Jobs
from dualdistill.store.files import sha_of

PROFILES = ("smoke", "world", "world-long", "nuscenes")
METHODS = ("dualdistill", "distillbev", "tigbev", "labeldistill")
STUDENTS = (
    "bevdepth-r50",
    "bevdepth-r101",
    *(f"{method}-{backbone}-centerpoint" for method in METHODS for backbone in ("r50", "r101")),
)
MVP = ("mvp", *(f"{method}-{backbone}-mvp" for method in METHODS[:2] for backbone in ("r50", "r101")))


def planned(folder: Path, **overrides: Any) -> Plan:
    return planning.load(folder / "config.yaml", overrides)


def add(folder: Path, text: str) -> None:
    with (folder / "variants.yaml").open("a") as stream:
        stream.write(text + "\n")


def spec_of(plan: Plan, row: str) -> RunSpec:
    return plan.run(row).spec


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
    plan = planned(folder, profile=profile)
    assert {row for run in plan.runs.values() for row in run.rows} >= {"centerpoint", *STUDENTS, *MVP}
    for run in plan.runs.values():
        assert run.id == f"{identity.label(run.spec)}-s0-{run.spec.sha[:10]}"
    for row in ("centerpoint", *STUDENTS, *MVP):
        assert plan.run(row).id.startswith(f"{row}-s0-")


def test_the_plan_is_the_same_twice(folder: Path):
    assert planned(folder) == planned(folder)


@pytest.mark.parametrize("name", ["variants.yaml", "profiles/world.yaml"])
def test_the_order_of_rows_and_keys_does_not_matter(folder: Path, name: str):
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


def test_equal_specs_share_a_run(folder: Path):
    before = planned(folder).runs
    add(folder, "same: {from: dualdistill-r50-centerpoint, temperature: 0.1, crd: true, schedule.ema: 0}")
    plan = planned(folder)
    assert plan.run("same") is plan.run("dualdistill-r50-centerpoint")
    assert plan.run("same").rows == ("dualdistill-r50-centerpoint", "same")
    assert plan.runs.keys() == before.keys()


def test_a_row_changes_the_keys_that_it_names_and_nothing_else(folder: Path):
    changes = "temperature: 0.5, model.head.score_threshold: 0.3, schedule.epochs: 3"
    add(folder, f"t: {{from: dualdistill-r50-centerpoint, {changes}}}")
    plan = planned(folder)
    parent, child = spec_of(plan, "dualdistill-r50-centerpoint"), spec_of(plan, "t")
    assert child.distill.options == parent.distill.options | {"temperature": 0.5}
    assert (child.model.head.score_threshold, child.schedule.epochs) == (0.3, 3)
    assert (child.teacher, child.data, child.input) == (parent.teacher, parent.data, parent.input)


def test_a_profile_changes_an_option_in_every_row_that_does_not_set_it(folder: Path):
    add(folder, "full: {from: mfd-only, tau: 0.4, mfd_weight: 1.0}")
    before = planned(folder)
    with (folder / "profiles" / "world.yaml").open("a") as stream:
        stream.write("\nmethods: {dualdistill: {mfd_weight: 0.5}, tigbev: {keypoints: 12}}\n")
    after = planned(folder)
    changes = {"dualdistill": {"mfd_weight": 0.5}, "tigbev": {"keypoints": 12}}
    for name in (row for run in before.runs.values() for row in run.rows):
        old, new = before.run(name), after.run(name)
        distill = old.spec.distill
        changed = changes.get(distill.method, {}) if distill and name != "full" else {}
        assert (new.id == old.id) == (not changed), name
        if distill:
            assert new.spec.distill.options == distill.options | changed


def test_another_method_drops_inherited_options(folder: Path):
    add(folder, "hot: {from: dualdistill-r50-centerpoint, temperature: 1.0}")
    add(folder, "other: {from: hot, method: tigbev}")
    assert spec_of(planned(folder), "other").distill.options == method_options.fill("tigbev", {})


def test_students_of_all_seeds_learn_from_one_teacher(folder: Path):
    plan = planned(folder, seeds=[1, 2], teacher_seed=0)
    taught = [run for run in plan.runs.values() if run.spec.distill]
    teachers = {run for run in plan.runs if run.startswith(("centerpoint-s0", "mvp-s0"))}
    assert {run.teacher for run in taught} == teachers
    # a run per row that is a teacher
    assert len(teachers) == len({name for run in teachers for name in plan.runs[run].rows})
    assert all(run.spec.teacher == plan.runs[run.teacher].spec for run in taught)
    assert {run.spec.seed for run in taught} == {1, 2}
    assert [len(row.runs) for row in plan.tables["table_main"].rows] == [2, 2, 2, 2, 2]


def test_another_seed_keeps_the_existing_runs(folder: Path):
    assert planned(folder).runs.items() <= planned(folder, seeds=[0, 1]).runs.items()


def test_a_camera_setting_retrains_students_and_no_teacher(folder: Path):
    before = planned(folder)
    path = folder / "profiles" / "world.yaml"
    path.write_text(re.sub(r"resize_test: [\d.]+", "resize_test: 0.017", path.read_text()))
    after = planned(folder)
    assert spec_of(after, "centerpoint") == spec_of(before, "centerpoint")
    assert spec_of(after, "bevdepth-r50") != spec_of(before, "bevdepth-r50")


def test_a_teacher_may_have_other_augmentation_than_its_students(folder: Path):
    path = folder / "profiles" / "smoke.yaml"
    turned = "teacher_input: {bev_rotate_deg: 31.5, bev_flip: true, "
    path.write_text(path.read_text().replace("teacher_input: {", turned))
    plan = planned(folder, profile="smoke")
    student, teacher = spec_of(plan, "dualdistill-r50-centerpoint"), spec_of(plan, "centerpoint")
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
        plan = planned(folder)
        first = SimpleNamespace(run=next(iter(plan.runs)))
        return plan.data_id, list(plan.runs), Jobs(plan).prediction_sha(first)

    before = state()
    monkeypatch.setattr(identity, stage, getattr(identity, stage) + 1)
    assert tuple(old != new for old, new in zip(before, state(), strict=True)) == (data, runs, jobs)


def test_the_data_root_is_not_part_of_a_run(folder: Path):
    first, second = (planned(folder, profile="nuscenes", data_root=root) for root in ("/a", "/b"))
    assert first.runs == second.runs
    assert first.data_id == second.data_id
    assert first.paths.root != second.paths.root


def test_another_profile_makes_a_table_again(folder: Path):
    name = SimpleNamespace(table="table_main")
    shas = {Jobs(planned(folder, profile=profile)).table_sha(name) for profile in PROFILES}
    assert len(shas) == len(PROFILES)


def test_overrides_are_passed_on_to_the_commands(folder: Path):
    plan = planned(folder, profile="smoke", seeds=["0", "2"])
    assert plan.arguments.split(" ", 2)[2] == "--profile smoke --set 'seeds=[0, 2]'"


def test_the_published_sizes_are_in_the_nuscenes_profile(folder: Path):
    plan = planned(folder, profile="nuscenes")
    r50, r101 = spec_of(plan, "dualdistill-r50-centerpoint"), spec_of(plan, "dualdistill-r101-centerpoint")
    assert (r50.input.image_height, r50.input.image_width) == (256, 704)
    assert (r101.input.image_height, r101.input.image_width) == (512, 1408)
    assert (r50.grid.cells, r50.teacher.model.pillar_m) == (128, 0.2)
    assert (r50.model.depth, r101.model.depth) == (50, 101)
    assert (r50.schedule.epochs, r50.schedule.steps, r50.schedule.cbgs) == (24, (16, 22), True)
    assert r50.model == run_spec.BEVDepthSpec(activation_checkpoint=("layer1", "layer2", "layer3", "layer4"))
    # published scales of each class's footprint: long vehicles shrink, pedestrians and cones grow
    assert r50.model.head.nms_scale == (1.0, 0.7, 0.7, 0.4, 0.55, 1.0, 1.0, 1.0, 4.5, 9.0)
    assert r50.model.head.nms_iou == (0.2, 0.2, 0.2, 0.2, 0.2, 0.5)
    assert r50.model.head.circle_nms_m == (0, 0, 0, 1.0, 0, 0)
    assert r50.teacher.model == run_spec.TeacherSpec()
    assert spec_of(plan, "mvp").model == run_spec.MVPSpec()


def test_devices_that_cannot_share_a_batch_are_refused_before_any_training(folder: Path):
    plan = planned(folder, profile="nuscenes", devices={"student": 4, "teacher": 8})
    student, teacher = plan.run("bevdepth-r50").id, plan.run("centerpoint").id
    Jobs(plan).check_devices([f"results/runs/{teacher}/run.json"])
    with pytest.raises(UserError) as caught:
        Jobs(plan).check_devices([f"results/runs/{student}/run.json"])
    assert str(caught.value) == (
        f"run {student}: 4 devices cannot share a batch of 32 with 16 per device "
        "(devices.student is 4: devices that fit: 1 or 2; or change schedule.batch_per_device)"
    )


def test_more_devices_than_gpus_are_refused_before_any_training(folder: Path):
    jobs = Jobs(planned(folder, profile="nuscenes", devices={"predict": 8}))
    jobs.check_devices([], gpus=8)
    jobs.check_devices([])  # without GPUs, the devices are processes
    with pytest.raises(UserError, match=r"devices\.predict is 8, and there are 4 GPUs"):
        jobs.check_devices([], gpus=4)


def test_devices_go_by_the_kind_of_run_and_are_in_no_id(folder: Path):
    one = planned(folder, profile="nuscenes")
    several = planned(folder, profile="nuscenes", devices={"student": 2, "teacher": 8, "labels": 4})
    assert list(one.runs) == list(several.runs)
    assert {one.devices(run) for run in one.runs.values()} == {1}
    counts = {run.spec.kind: several.devices(run) for run in several.runs.values()}
    assert counts == {"student": 2, "teacher": 8, "labels": 4}
    wildcards = SimpleNamespace(run=several.run("centerpoint").id)
    assert Jobs(several).training_devices(wildcards) == 8
    assert Jobs(several).training_threads(wildcards) == 64


def test_headings_have_the_usual_spelling():
    tables = planning.load().tables
    headings = {"mfd": "MFD", "crd": "CRD", "mAP": "mAP", "NDS": "NDS"}
    assert tables["table_ablation_components"].headings == headings
    errors = tables["table_errors"].headings
    assert (errors["row"], errors["mATE"], errors["AP_traffic_cone"]) == ("Row", "mATE", "AP traffic cone")
