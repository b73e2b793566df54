"""Label encoders: runs without a row, one per teacher, for students with a method that needs it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dualdistill.config import method_options
from dualdistill.errors import UserError
from dualdistill.plan import identity
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan
from dualdistill.plan.snakemake_inputs import Jobs

ROW = "labeldistill-r50-centerpoint"


def planned(folder: Path, **overrides: Any) -> Plan:
    return planning.load(folder / "config.yaml", overrides)


def add(folder: Path, text: str) -> None:
    with (folder / "variants.yaml").open("a") as stream:
        stream.write(text + "\n")


def change(folder: Path, old: str, new: str) -> None:
    path = folder / "profiles" / "world.yaml"
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize("profile", ["smoke", "world", "nuscenes"])
def test_a_student_names_its_label_encoder_and_the_encoder_names_its_teacher(folder: Path, profile: str):
    plan = planned(folder, profile=profile)
    run = plan.run(ROW)
    encoder = plan.runs[run.label_encoder]
    assert run.spec.label_encoder == encoder.spec
    assert encoder.id == f"labels-centerpoint-s0-{encoder.spec.sha[:10]}"
    assert (encoder.spec.kind, encoder.rows, encoder.teacher) == ("labels", (), run.teacher)
    assert encoder.spec.grid == run.spec.grid == encoder.spec.teacher.grid
    assert plan.label_encoder_folder(run) == plan.folder(encoder)
    assert plan.of_kind("labels") == [encoder.id]


def test_students_of_all_backbones_and_seeds_share_a_label_encoder(folder: Path):
    add(folder, "weak: {from: labeldistill-r50-centerpoint, label_weight: 0.1, input.image_flip: true}")
    plan = planned(folder, seeds=[1, 2], teacher_seed=0)
    students = [run for run in plan.runs.values() if run.label_encoder]
    assert len(students) == 2 * (3 + 5)  # with five lengths of the training
    (encoder,) = {run.label_encoder for run in students}
    assert plan.runs[encoder].spec.seed == 0


def test_another_teacher_has_another_label_encoder(folder: Path):
    add(folder, "deep: {from: centerpoint, model.layers: [4, 4, 4]}")
    add(folder, "other: {from: labeldistill-r50-centerpoint, teacher: deep}")
    plan = planned(folder)
    encoder = plan.runs[plan.run("other").label_encoder]
    assert encoder.id != plan.run(ROW).label_encoder
    assert encoder.teacher == plan.run("deep").id


def test_other_methods_have_no_label_encoder(folder: Path):
    plan = planned(folder)
    others = [run for run in plan.runs.values() if run.spec.distill and not run.id.startswith("labeldistill")]
    assert others
    for run in others:
        assert run.label_encoder is None


def test_changing_its_size_changes_the_ids_of_the_encoder_and_its_students_only(folder: Path):
    before = planned(folder).runs
    change(folder, "label_encoder: {channels: ", "label_encoder: {channels: 1")
    after = planned(folder).runs
    renamed = {name.rpartition("-")[0] for name in before.keys() - after.keys()}
    names = ("labels", "labeldistill-r50", "labeldistill-r101")
    assert renamed == {f"{name}-centerpoint-s0" for name in names}


def test_a_row_and_a_recipe_change_the_label_encoder_of_a_method_that_has_one(folder: Path):
    add(folder, "painted: {from: labeldistill-r50-centerpoint, label_encoder.painting: released}")
    add(folder, "other: {from: painted, method: tigbev}")  # drops what belongs to the old method
    plan = planned(folder)
    painted, plain = (plan.run(row).spec.label_encoder.model for row in ("painted", ROW))
    assert (painted.painting, plain.painting) == ("released", "exact")
    assert painted.channels == plain.channels
    assert plan.run("other").spec.label_encoder is None
    published = planned(folder, profile="nuscenes", recipe="as_published").run(ROW).spec.label_encoder.model
    assert (published.painting, published.velocity_weight) == ("released", 0.5)
    add(folder, "wrong: {from: dualdistill-r50-mvp, label_encoder.painting: released}")
    with pytest.raises(UserError, match=r"unknown key 'label_encoder.painting' in row 'wrong'"):
        planned(folder)


@pytest.mark.parametrize(
    ("profile", "recipe"), [("world", "matched"), ("world", "as_published"), ("nuscenes", "matched")]
)
def test_elsewhere_its_boxes_and_its_velocity_weight_are_ours(folder: Path, profile: str, recipe: str):
    model = planned(folder, profile=profile, recipe=recipe).run(ROW).spec.label_encoder.model
    assert (model.painting, model.velocity_weight) == ("exact", 0.2)


def test_it_shares_the_students_box_augmentation_and_ignores_camera_settings(folder: Path):
    change(folder, "  bev_rotate_deg: 0.0", "  bev_rotate_deg: 3.5")
    plan = planned(folder)
    encoder = plan.runs[plan.run(ROW).label_encoder]
    assert encoder.spec.input.bev_rotate_deg == 3.5 != encoder.spec.teacher.input.bev_rotate_deg
    change(folder, "resize_test: 0.0", "resize_test: 0.017")
    assert plan.run(ROW).label_encoder == planned(folder).run(ROW).label_encoder


def test_a_raised_version_trains_it_again(folder: Path, monkeypatch: pytest.MonkeyPatch):
    before = planned(folder).run(ROW).label_encoder
    monkeypatch.setattr(identity, "TRAIN", identity.TRAIN + 1)
    assert planned(folder).run(ROW).label_encoder != before


def test_the_encoder_waits_for_its_teacher_and_the_student_waits_for_the_encoder(folder: Path):
    plan = planned(folder)
    jobs, run = Jobs(plan), plan.run(ROW)
    records = {name: str(plan.results / "runs" / name / "run.json") for name in plan.runs}
    assert jobs.label_encoder(SimpleNamespace(run=run.id)) == [records[run.label_encoder]]
    assert jobs.teacher(SimpleNamespace(run=run.label_encoder)) == [records[run.teacher]]
    assert jobs.label_encoder(SimpleNamespace(run=plan.run("bevdepth-r50").id)) == []
    assert run.label_encoder not in jobs.with_boxes.split("|")


def test_it_predicts_no_boxes(folder: Path):
    plan = planned(folder)
    name = plan.run(ROW).label_encoder
    with pytest.raises(UserError, match=f"run '{name}' is a label encoder: it predicts no boxes"):
        plan.run_with_boxes(name)


def test_a_class_attribute_asks_for_a_label_encoder(tmp_path: Path):
    for line, needed in (
        ("label_encoder = True", True),
        ("label_encoder = False", False),
        ("other = True", False),
    ):
        folder = tmp_path / line.replace(" ", "")
        folder.mkdir()
        (folder / "mine.py").write_text(f"class Mine(Distiller):\n    {line}\n")
        assert method_options.trait("mine", "label_encoder", False, folder) is needed
