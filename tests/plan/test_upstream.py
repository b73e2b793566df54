"""What students start from: a key of the model, and a run of its own where it is trained here."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dualdistill.errors import DataError, UserError
from dualdistill.plan import plan
from dualdistill.plan.plan import Plan

R50 = "bevdepth-r50"


def planned(folder: Path, **overrides: Any) -> Plan:
    return plan.load(folder / "config.yaml", {"profile": "smoke", **overrides})


def add(folder: Path, text: str) -> None:
    with (folder / "variants.yaml").open("a") as stream:
        stream.write(text + "\n")


def test_a_student_holds_the_run_that_it_starts_from(folder: Path):
    found = planned(folder)
    run = found.run(R50)
    before = found.runs[run.pretraining]
    assert run.spec.pretraining == before.spec
    assert before.id == f"pretrain-r50-s0-{before.spec.sha[:10]}"
    assert (before.spec.kind, before.rows, before.teacher, before.pretraining) == ("pretrain", (), None, None)
    assert (before.spec.model.depth, before.spec.model.width) == (50, run.spec.model.width)
    assert found.start_file(run) == found.folder(before) / "model.safetensors"


def test_every_student_of_a_backbone_starts_from_one_run(folder: Path):
    add(folder, "other: {from: dualdistill-r50-centerpoint, model.neck_channels: 16, input.image_flip: true}")
    found = planned(folder, seeds=[1, 2], teacher_seed=0)
    students = [run for run in found.runs.values() if run.spec.kind == "student"]
    assert len({run.pretraining for run in students if run.spec.model.depth == 50}) == 1
    assert len({run.pretraining for run in students}) == 2
    assert {found.runs[run.pretraining].spec.seed for run in students} == {0}


def test_another_width_is_another_run(folder: Path):
    add(folder, "wide: {from: bevdepth-r50, model.width: 24}")
    found = planned(folder)
    assert found.run("wide").pretraining != found.run(R50).pretraining
    assert found.run("wide").spec.pretraining.model.width == 24


def test_a_row_may_start_at_random(folder: Path):
    add(folder, "control: {from: bevdepth-r50, model.start: random}")
    found = planned(folder)
    control, run = found.run("control"), found.run(R50)
    assert (control.pretraining, found.start_file(control)) == (None, None)
    assert control.id != run.id
    # and it differs in nothing else
    same = replace(control.spec, model=run.spec.model, pretraining=run.spec.pretraining)
    assert same == run.spec


def test_nobody_waits_for_what_nobody_starts_from(folder: Path):
    path = folder / "profiles" / "smoke.yaml"
    path.write_text(path.read_text().replace("start: pretrained", "start: random"))
    assert planned(folder).of_kind("pretrain") == []


def test_a_student_may_start_from_a_detector_that_itself_starts_from_a_backbone(folder: Path):
    add(folder, "warm: {from: dualdistill-r50-centerpoint, model.start: detector, crd: false}")
    found = planned(folder)
    warm = found.run("warm")
    detector = found.runs[warm.pretraining]
    assert detector.id.startswith("detector-r50-s0-")
    assert (detector.spec.kind, detector.rows, detector.teacher) == ("detector", (), None)
    assert detector.spec.pretraining == found.run(R50).spec.pretraining
    student = replace(warm.spec.model, start="pretrained")
    assert (detector.spec.model, detector.spec.cell_class_weight) == (student, 1.0)
    assert detector.spec.input == warm.spec.input
    assert found.start_file(warm) == found.folder(detector) / "model.safetensors"
    assert found.detector(detector.id) == detector
    order = list(found.runs)
    assert order.index(detector.pretraining) < order.index(detector.id) < order.index(warm.id)


def test_a_detector_may_see_its_frames_turned_further_than_its_students_do(folder: Path):
    add(folder, "warm: {from: bevdepth-r50, model.start: detector}")
    path = folder / "profiles" / "smoke.yaml"
    before = planned(folder)
    changes = "detector:\n  input: {bev_rotate_deg: 31.5, image_flip: false}\n"
    path.write_text(path.read_text().replace("detector:\n", changes, 1))
    after = planned(folder)
    warm = after.run("warm")
    detector = after.runs[warm.pretraining]
    assert replace(warm.spec, pretraining=None) == replace(before.run("warm").spec, pretraining=None)
    expected = replace(warm.spec.input, bev_rotate_deg=31.5, image_flip=False)
    assert detector.spec.input == expected != warm.spec.input


def test_a_profile_without_a_detector_is_one_sentence(folder: Path):
    add(folder, "warm: {from: bevdepth-r50, model.start: detector}")
    what = r"row 'warm' starts from a pre-training and 'detector' is null \(fill it in, or choose"
    with pytest.raises(UserError, match=what):
        planned(folder, profile="nuscenes")


def test_a_deeper_detector_grows_from_a_shallower_one(folder: Path):
    add(folder, "warm: {from: bevdepth-r101, model.start: detector}")
    path = folder / "profiles" / "smoke.yaml"
    grows = path.read_text().replace("detector:\n", "detector:\n  grows_from: 50\n", 1)
    path.write_text(grows)
    what = r"'schedules.grown' is null \(fill it in, or set detector.grows_from to null\)"
    with pytest.raises(UserError, match=what):
        planned(folder)
    path.write_text(grows + "  grown: {epochs: 3, lr: 0.002}\n")
    found = planned(folder)
    deep = found.runs[found.run("warm").pretraining]
    shallow = found.runs[deep.pretraining]
    assert (shallow.spec.kind, deep.spec.kind) == ("detector", "detector")
    assert (shallow.spec.model.depth, deep.spec.model.depth) == (50, 101)
    assert replace(shallow.spec.model, start="detector", depth=101) == deep.spec.model
    assert (shallow.spec.schedule.epochs, deep.spec.schedule.epochs) == (1, 3)
    assert found.start_file(deep) == found.folder(shallow) / "model.safetensors"
    order = list(found.runs)
    assert order.index(shallow.pretraining) < order.index(shallow.id) < order.index(deep.id)


def test_the_world_s_students_start_from_detectors_and_every_seed_from_one(folder: Path):
    found = planned(folder, profile="world", seeds=[1, 2], teacher_seed=0)
    students = [run for run in found.runs.values() if run.spec.kind == "student"]
    assert {found.runs[run.pretraining].spec.kind for run in students} == {"detector"}
    assert len({run.pretraining for run in students}) == len(found.of_kind("detector")) == 2


def test_a_teacher_starts_from_nothing(folder: Path):
    found = planned(folder)
    assert found.start_file(found.run("centerpoint")) is None


def test_a_teacher_may_start_from_another_of_its_seed(folder: Path):
    add(folder, "tuned: {from: centerpoint, weights: centerpoint, schedule.epochs: 0}")
    add(folder, "taught: {from: dualdistill-r50-centerpoint, teacher: tuned}")
    found = planned(folder, seeds=[1], teacher_seed=0)
    order = list(found.runs)
    for run in (run for run in found.runs.values() if "tuned" in run.rows):
        earlier = found.runs[run.pretraining]
        assert (earlier.rows, earlier.spec.seed) == (("centerpoint",), run.spec.seed)
        assert replace(run.spec, pretraining=None, schedule=earlier.spec.schedule) == earlier.spec
        assert found.start_file(run) == found.folder(earlier) / "model.safetensors"
        assert order.index(earlier.id) < order.index(run.id)
    assert {run.spec.seed for run in found.runs.values() if "tuned" in run.rows} == {0, 1}
    assert found.runs[found.run("taught").teacher].rows == ("tuned",)


def test_a_pre_training_predicts_no_boxes(folder: Path):
    found = planned(folder)
    name = found.run(R50).pretraining
    with pytest.raises(UserError, match=f"run '{name}' is a pre-training: it predicts no boxes"):
        found.detector(name)


def test_published_students_start_from_the_files_that_the_settings_name(folder: Path, tmp_path: Path):
    file = tmp_path / "resnet50.pth"
    found = planned(folder, profile="nuscenes", imagenet={"r50": str(file)})
    run = found.run(R50)
    assert (run.pretraining, found.start_file(run), found.of_kind("pretrain")) == (None, file, [])
    # where the file lies is not part of the run
    assert found.runs == planned(folder, profile="nuscenes").runs


def test_a_file_that_is_not_named_or_not_there_is_one_sentence(folder: Path, tmp_path: Path):
    nowhere = planned(folder, profile="nuscenes", imagenet={"r101": str(tmp_path / "r101.pth")})
    with pytest.raises(UserError) as caught:
        nowhere.start_file(nowhere.run(R50))
    assert str(caught.value) == (
        "profile nuscenes: row 'bevdepth-r50' starts from ImageNet weights, and imagenet.r50 is not set "
        "(torchvision's file, in config/config.yaml; or model.start: random)"
    )
    with pytest.raises(DataError, match=r"r101\.pth: the ImageNet weights do not exist \(see imagenet in"):
        nowhere.check_starts()


def test_the_pre_training_scenes_are_a_split_of_the_index(folder: Path):
    assert planned(folder).data.splits()["pretrain"] == "world_pretrain"
    assert "pretrain" not in planned(folder, profile="nuscenes").data.splits()
