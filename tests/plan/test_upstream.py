"""Initial weights: chosen by model.start, and trained by a run of this suite unless random or a file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dualdistill.errors import DataError, UserError
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan
from dualdistill.plan.snakemake_inputs import Jobs

R50 = "bevdepth-r50"


def planned(folder: Path, **overrides: Any) -> Plan:
    return planning.load(folder / "config.yaml", {"profile": "smoke", **overrides})


def add(folder: Path, text: str) -> None:
    with (folder / "variants.yaml").open("a") as stream:
        stream.write(text + "\n")


def test_a_student_names_the_run_of_its_initial_weights(folder: Path):
    plan = planned(folder)
    run = plan.run(R50)
    before = plan.runs[run.pretraining]
    assert run.spec.pretraining == before.spec
    assert before.id == f"pretrain-r50-s0-{before.spec.sha[:10]}"
    assert (before.spec.kind, before.rows, before.teacher, before.pretraining) == ("pretrain", (), None, None)
    assert (before.spec.model.depth, before.spec.model.width) == (50, run.spec.model.width)
    assert plan.start_file(run) == plan.folder(before) / "model.safetensors"


def test_all_students_of_a_backbone_start_from_the_same_run(folder: Path):
    add(folder, "other: {from: dualdistill-r50-centerpoint, model.neck_channels: 16, input.image_flip: true}")
    plan = planned(folder, seeds=[1, 2], teacher_seed=0)
    students = [plan.runs[run] for run in plan.of_kind("student")]
    assert len({run.pretraining for run in students if run.spec.model.depth == 50}) == 1
    assert len({run.pretraining for run in students}) == 2
    assert {plan.runs[run.pretraining].spec.seed for run in students} == {0}


def test_another_width_needs_another_pre_training(folder: Path):
    add(folder, "wide: {from: bevdepth-r50, model.width: 24}")
    plan = planned(folder)
    assert plan.run("wide").pretraining != plan.run(R50).pretraining
    assert plan.run("wide").spec.pretraining.model.width == 24


def test_a_row_may_start_at_random(folder: Path):
    add(folder, "control: {from: bevdepth-r50, model.start: random}")
    plan = planned(folder)
    control, run = plan.run("control"), plan.run(R50)
    assert (control.pretraining, plan.start_file(control)) == (None, None)
    assert control.id != run.id
    # nothing else differs
    same = replace(control.spec, model=run.spec.model, pretraining=run.spec.pretraining)
    assert same == run.spec


def test_without_students_that_need_it_there_is_no_pre_training(folder: Path):
    path = folder / "profiles" / "smoke.yaml"
    path.write_text(path.read_text().replace("start: pretrained", "start: random"))
    assert planned(folder).of_kind("pretrain") == []


def test_students_of_every_seed_may_have_teacher_and_start_of_that_seed(folder: Path):
    plan = planned(folder, seeds=[1, 2], teacher_seed="each")
    students = [plan.runs[run] for run in plan.of_kind("student")]
    for run in students:
        assert [plan.runs[name].spec.seed for name in run.needs] == [run.spec.seed] * len(run.needs)
    assert any(run.label_encoder for run in students)
    assert {run.spec.seed for run in plan.runs.values() if run.spec.imported is None} == {1, 2}
    # seed 1 has the runs that it has where all seeds share it
    shared = planned(folder, seeds=[1], teacher_seed=1)
    assert shared.runs.items() <= plan.runs.items()


def test_a_profile_chooses_the_teachers_seed_unless_the_settings_do(folder: Path):
    assert planned(folder, profile="world", teacher_seed=None).settings.teacher_seed == 0
    assert planned(folder, profile="world-long").settings.teacher_seed == "each"
    assert planned(folder, profile="world-long", teacher_seed=3).settings.teacher_seed == 3
    settings = folder / "config.yaml"
    settings.write_text(settings.read_text().replace("teacher_seed: null", "teacher_seed: 4"))
    assert planned(folder, profile="world-long").settings.teacher_seed == 4


def test_students_of_the_world_start_from_a_backbone_of_their_depth(folder: Path):
    plan = planned(folder, profile="world", seeds=[1, 2], teacher_seed=0)
    students = [plan.runs[run] for run in plan.of_kind("student")]
    assert {run.spec.pretraining.kind for run in students} == {"pretrain"}
    assert all(run.spec.pretraining.model.depth == run.spec.model.depth for run in students)
    assert len({run.pretraining for run in students}) == len(plan.of_kind("pretrain")) == 2


def test_a_teacher_starts_at_random_by_default(folder: Path):
    plan = planned(folder)
    assert plan.start_file(plan.run("centerpoint")) is None


def test_a_teacher_may_start_from_another_teacher_of_the_same_seed(folder: Path):
    add(folder, "tuned: {from: centerpoint, weights: centerpoint, schedule.epochs: 0}")
    add(folder, "taught: {from: dualdistill-r50-centerpoint, teacher: tuned}")
    plan = planned(folder, seeds=[1], teacher_seed=0)
    order = list(plan.runs)
    for run in (run for run in plan.runs.values() if "tuned" in run.rows):
        earlier = plan.runs[run.pretraining]
        assert (earlier.rows, earlier.spec.seed) == (("centerpoint",), run.spec.seed)
        assert replace(run.spec, pretraining=None, schedule=earlier.spec.schedule) == earlier.spec
        assert plan.start_file(run) == plan.folder(earlier) / "model.safetensors"
        assert order.index(earlier.id) < order.index(run.id)
    assert {run.spec.seed for run in plan.runs.values() if "tuned" in run.rows} == {0, 1}
    assert plan.runs[plan.run("taught").teacher].rows == ("tuned",)


def test_a_pre_training_predicts_no_boxes(folder: Path):
    plan = planned(folder)
    name = plan.run(R50).pretraining
    with pytest.raises(UserError, match=f"run '{name}' is a pre-training: it predicts no boxes"):
        plan.run_with_boxes(name)


def test_students_on_nuscenes_start_from_the_files_in_the_settings(folder: Path, tmp_path: Path):
    file = tmp_path / "resnet50.pth"
    plan = planned(folder, profile="nuscenes", imagenet={"r50": str(file)})
    run = plan.run(R50)
    assert (run.pretraining, plan.start_file(run), plan.of_kind("pretrain")) == (None, file, [])
    # the location of the file is not part of the run
    assert plan.runs == planned(folder, profile="nuscenes").runs


def test_a_missing_file_of_initial_weights_gives_one_sentence(folder: Path, tmp_path: Path):
    nowhere = planned(folder, profile="nuscenes", imagenet={"r101": str(tmp_path / "r101.pth")})
    with pytest.raises(UserError) as caught:
        nowhere.start_file(nowhere.run(R50))
    assert str(caught.value) == (
        "profile nuscenes: row 'bevdepth-r50' starts from ImageNet weights, and imagenet.r50 is not set "
        "(torchvision's file, in config/config.yaml; or model.start: random)"
    )
    with pytest.raises(DataError, match=r"r101\.pth: the ImageNet weights do not exist \(see imagenet in"):
        Jobs(nowhere).check_starts([f"results/runs/{nowhere.run('bevdepth-r101').id}/run.json"])


def test_the_pre_training_scenes_are_a_split_of_the_index(folder: Path):
    assert planned(folder).data.splits()["pretrain"] == "world_pretrain"
    assert "pretrain" not in planned(folder, profile="nuscenes").data.splits()
