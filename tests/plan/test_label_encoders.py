"""Label encoders: runs that no row names, one per teacher, for the students whose method asks for one."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dualdistill.config import method_options
from dualdistill.errors import UserError
from dualdistill.plan import identity, plan
from dualdistill.plan.plan import Plan
from dualdistill.plan.snakemake_inputs import Jobs

ROW = "labeldistill-r50-centerpoint"


def planned(folder: Path, **overrides: Any) -> Plan:
    return plan.load(folder / "config.yaml", overrides)


def add(folder: Path, text: str) -> None:
    with (folder / "variants.yaml").open("a") as stream:
        stream.write(text + "\n")


def change(folder: Path, old: str, new: str) -> None:
    path = folder / "profiles" / "world.yaml"
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize("profile", ["smoke", "world", "nuscenes"])
def test_a_student_holds_its_label_encoder_and_that_one_its_teacher(folder: Path, profile: str):
    found = planned(folder, profile=profile)
    run = found.run(ROW)
    encoder = found.runs[run.label_encoder]
    assert run.spec.label_encoder == encoder.spec
    assert encoder.id == f"labels-centerpoint-s0-{encoder.spec.sha[:10]}"
    assert (encoder.spec.kind, encoder.rows, encoder.teacher) == ("labels", (), run.teacher)
    assert encoder.spec.grid == run.spec.grid == encoder.spec.teacher.grid
    assert found.label_encoder_folder(run) == found.folder(encoder)
    assert found.of_kind("labels") == [encoder.id]


def test_there_is_one_for_the_students_of_all_backbones_and_seeds(folder: Path):
    add(folder, "weak: {from: labeldistill-r50-centerpoint, label_weight: 0.1, input.image_flip: true}")
    found = planned(folder, seeds=[1, 2], teacher_seed=0)
    students = [run for run in found.runs.values() if run.label_encoder]
    assert len(students) == 2 * 3
    (encoder,) = {run.label_encoder for run in students}
    assert found.runs[encoder].spec.seed == 0


def test_another_teacher_has_another_one(folder: Path):
    add(folder, "deep: {from: centerpoint, model.layers: [4, 4, 4]}")
    add(folder, "other: {from: labeldistill-r50-centerpoint, teacher: deep}")
    found = planned(folder)
    encoder = found.runs[found.run("other").label_encoder]
    assert encoder.id != found.run(ROW).label_encoder
    assert encoder.teacher == found.run("deep").id


def test_methods_that_ask_for_none_get_none(folder: Path):
    found = planned(folder)
    others = [
        run for run in found.runs.values() if run.spec.distill and not run.id.startswith("labeldistill")
    ]
    assert others
    for run in others:
        assert run.label_encoder is None


def test_its_size_and_schedule_rename_it_and_its_students_only(folder: Path):
    before = planned(folder).runs
    change(folder, "label_encoder: {channels: ", "label_encoder: {channels: 1")
    after = planned(folder).runs
    renamed = {name.rpartition("-")[0] for name in before.keys() - after.keys()}
    assert renamed == {f"{own}-centerpoint-s0" for own in ("labels", "labeldistill-r50", "labeldistill-r101")}


def test_it_sees_boxes_move_as_students_do_and_no_camera(folder: Path):
    change(folder, "  bev_rotate_deg: 0.0", "  bev_rotate_deg: 3.5")
    found = planned(folder)
    encoder = found.runs[found.run(ROW).label_encoder]
    assert encoder.spec.input.bev_rotate_deg == 3.5 != encoder.spec.teacher.input.bev_rotate_deg
    change(folder, "resize_test: 0.0", "resize_test: 0.017")
    assert found.run(ROW).label_encoder == planned(folder).run(ROW).label_encoder


def test_a_raised_version_makes_it_anew(folder: Path, monkeypatch: pytest.MonkeyPatch):
    before = planned(folder).run(ROW).label_encoder
    monkeypatch.setattr(identity, "TRAIN", identity.TRAIN + 1)
    assert planned(folder).run(ROW).label_encoder != before


def test_it_waits_for_its_teacher_and_a_student_for_it(folder: Path):
    found = planned(folder)
    jobs, run = Jobs(found), found.run(ROW)
    records = {name: str(found.results / "runs" / name / "run.json") for name in found.runs}
    assert jobs.label_encoder(SimpleNamespace(run=run.id)) == [records[run.label_encoder]]
    assert jobs.teacher(SimpleNamespace(run=run.label_encoder)) == [records[run.teacher]]
    assert jobs.label_encoder(SimpleNamespace(run=found.run("bevdepth-r50").id)) == []
    assert run.label_encoder not in jobs.detectors.split("|")


def test_it_predicts_no_boxes(folder: Path):
    found = planned(folder)
    name = found.run(ROW).label_encoder
    with pytest.raises(UserError, match=f"run '{name}' is a label encoder: it predicts no boxes"):
        found.detector(name)


def test_a_class_says_whether_it_asks_for_one(tmp_path: Path):
    for said, asks in (
        ("label_encoder = True", True),
        ("label_encoder = False", False),
        ("other = True", False),
    ):
        folder = tmp_path / said.replace(" ", "")
        folder.mkdir()
        (folder / "mine.py").write_text(f"class Mine(Distiller):\n    {said}\n")
        assert method_options.trait("mine", "label_encoder", False, folder) is asks
