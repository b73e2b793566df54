"""Virtual points in the plan: a separate stage, for the runs that read them only."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dualdistill.errors import DataError, UserError
from dualdistill.plan import identity
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan
from dualdistill.plan.snakemake_inputs import Jobs

MVP, TAUGHT = "mvp", "dualdistill-r50-mvp"


def planned(folder: Path, **overrides: Any) -> Plan:
    return planning.load(folder / "config.yaml", overrides)


def add(folder: Path, text: str) -> None:
    with (folder / "variants.yaml").open("a") as stream:
        stream.write(text + "\n")


def test_a_teacher_and_its_students_share_virtual_points(folder: Path):
    plan = planned(folder)
    teacher, student, plain = (plan.run(row) for row in (MVP, TAUGHT, "centerpoint"))
    points = plan.paths.virtual(teacher.spec)
    assert points == plan.paths.virtual(student.spec)
    assert points.parent == plan.paths.index.parent
    assert plan.paths.virtual(plain.spec) is None
    assert list(plan.virtual) == [points.name]
    name, virtual = plan.virtual_points(TAUGHT)
    assert (name, virtual) == plan.virtual_points(name) == (points.name, teacher.spec.model.virtual)
    with pytest.raises(UserError, match="'centerpoint' has no virtual points"):
        plan.virtual_points("centerpoint")


def test_runs_that_read_virtual_points_wait_for_them(folder: Path):
    # an empty results folder, independent of the checkout's
    plan = planning.load(folder / "config.yaml", {}, folder.parent / "results")
    jobs = Jobs(plan)

    def waits(row: str, stage: str) -> bool:
        wildcards = SimpleNamespace(run=plan.run(row).id)
        return any(name.endswith("virtual.json") for name in getattr(jobs, stage)(wildcards))

    assert [waits(row, "training_data") for row in (MVP, TAUGHT, "centerpoint")] == [True, True, False]
    # a trained student reads images only
    assert [waits(row, "prediction_data") for row in (MVP, TAUGHT, "centerpoint")] == [True, False, False]


def test_a_detector_takes_its_depth_from_the_lidar_whatever_its_students_do(folder: Path):
    add(folder, f"x: {{from: {TAUGHT}, input.depth_points: virtual}}")
    plan = planned(folder)
    student = plan.run("x").spec
    assert (student.input.depth_points, student.pretraining.input.depth_points) == ("virtual", "lidar")
    assert student.pretraining == plan.run(TAUGHT).spec.pretraining


def test_labels_of_runs_name_the_teacher(folder: Path):
    plan = planned(folder)
    assert [identity.label(plan.run(row).spec) for row in (MVP, TAUGHT)] == [MVP, TAUGHT]


def test_a_row_with_perfect_masks_does_not_depend_on_the_damage(folder: Path):
    add(folder, "mvp-oracle: {from: mvp, model.virtual.masks: oracle}")
    plan = planned(folder)
    oracle, noisy = plan.run("mvp-oracle").spec, plan.run(MVP).spec
    assert (oracle.model.virtual.masks, oracle.model.virtual.damage) == ("oracle", None)
    assert noisy.model.virtual.damage is not None
    assert len(plan.virtual) == 2
    path = folder / "profiles" / "world.yaml"
    path.write_text(path.read_text().replace("score_noise: ", "score_noise: 1"))
    after = planned(folder)
    assert after.run("mvp-oracle").spec == oracle
    assert after.run(MVP).spec != noisy


def test_a_raised_version_changes_virtual_points_and_their_readers_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    before = planned(folder)
    made = set(before.virtual)
    monkeypatch.setattr(identity, "VIRTUAL", identity.VIRTUAL + 1)
    after = planned(folder)
    assert before.data_id == after.data_id
    assert not made & after.virtual.keys()
    rows = {row for run in before.runs.keys() - after.runs.keys() for row in before.runs[run].rows}
    readers = {row for run in before.runs.values() if run.spec.virtual for row in run.rows}
    assert rows == readers >= {MVP, TAUGHT}


def test_real_images_need_masks_from_files(folder: Path):
    add(folder, "x: {from: mvp, model.virtual.masks: oracle}")
    with pytest.raises(UserError, match="row 'x' asks for oracle masks, which only the synthetic world has"):
        planned(folder, profile="nuscenes")


def test_missing_masks_give_one_sentence_to_the_runs_that_need_them(folder: Path, tmp_path: Path):
    plan = planned(folder, profile="nuscenes")
    jobs, run = Jobs(plan), plan.run(MVP).id
    jobs.check_masks([])
    jobs.check_masks(["results/table_main.csv"])
    for word in (
        f"results/runs/{run}/run.json",
        f"results/data/{plan.data_id}/{next(iter(plan.virtual))}/x",
    ):
        with pytest.raises(UserError) as caught:
            jobs.check_masks(["-n", word])
        assert str(caught.value) == (
            "profile nuscenes: masks is not set (the folder of instance masks, in config/config.yaml; "
            "see docs/methods/mvp.md)"
        )
    there = Jobs(planned(folder, profile="nuscenes", masks=str(tmp_path)))
    there.check_masks([f"results/runs/{run}/run.json"])
    gone = Jobs(planned(folder, profile="nuscenes", masks=str(tmp_path / "gone")))
    with pytest.raises(DataError, match="the folder of masks does not exist"):
        gone.check_masks([f"results/runs/{run}/run.json"])
    # the location of the masks is not part of a run
    assert there.plan.runs == plan.runs
