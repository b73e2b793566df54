"""Virtual points in the plan: a stage of their own, made for whoever is given them and for nobody else."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dualdistill.errors import DataError, UserError
from dualdistill.plan import identity, plan
from dualdistill.plan.plan import Plan
from dualdistill.plan.snakemake_inputs import Jobs

MVP, TAUGHT = "mvp", "dualdistill-r50-mvp"


def planned(folder: Path, **overrides: Any) -> Plan:
    return plan.load(folder / "config.yaml", overrides)


def add(folder: Path, text: str) -> None:
    with (folder / "variants.yaml").open("a") as stream:
        stream.write(text + "\n")


def test_a_teacher_and_its_students_share_virtual_points(folder: Path):
    found = planned(folder)
    teacher, student, plain = (found.run(row) for row in (MVP, TAUGHT, "centerpoint"))
    own = found.paths.virtual(teacher.spec)
    assert own == found.paths.virtual(student.spec)
    assert own.parent == found.paths.index.parent
    assert found.paths.virtual(plain.spec) is None
    assert list(found.virtual) == [own.name]
    name, virtual = found.virtual_points(TAUGHT)
    assert (name, virtual) == found.virtual_points(name) == (own.name, teacher.spec.model.virtual)
    with pytest.raises(UserError, match="'centerpoint' has no virtual points"):
        found.virtual_points("centerpoint")


def test_who_is_given_virtual_points_waits_for_them(folder: Path):
    # nothing has been trained there, whatever lies in the checkout
    found = plan.load(folder / "config.yaml", {}, folder.parent / "results")
    jobs = Jobs(found)

    def waits(row: str, stage: str) -> bool:
        wildcards = SimpleNamespace(run=found.run(row).id)
        return any(name.endswith("virtual.json") for name in getattr(jobs, stage)(wildcards))

    assert [waits(row, "training_data") for row in (MVP, TAUGHT, "centerpoint")] == [True, True, False]
    # a student sees images only once it is trained
    assert [waits(row, "prediction_data") for row in (MVP, TAUGHT, "centerpoint")] == [True, False, False]


def test_the_labels_name_the_teacher(folder: Path):
    found = planned(folder)
    assert [identity.label(found.run(row).spec) for row in (MVP, TAUGHT)] == [MVP, TAUGHT]


def test_perfect_masks_are_a_key_of_a_row_and_do_not_count_the_damage(folder: Path):
    add(folder, "mvp-oracle: {from: mvp, model.virtual.masks: oracle}")
    found = planned(folder)
    oracle, noisy = found.run("mvp-oracle").spec, found.run(MVP).spec
    assert (oracle.model.virtual.masks, oracle.model.virtual.damage) == ("oracle", None)
    assert noisy.model.virtual.damage is not None
    assert len(found.virtual) == 2
    path = folder / "profiles" / "world.yaml"
    path.write_text(path.read_text().replace("score_noise: ", "score_noise: 1"))
    after = planned(folder)
    assert after.run("mvp-oracle").spec == oracle
    assert after.run(MVP).spec != noisy


def test_a_raised_version_makes_only_virtual_points_anew(folder: Path, monkeypatch: pytest.MonkeyPatch):
    before = planned(folder)
    made = set(before.virtual)
    monkeypatch.setattr(identity, "VIRTUAL", identity.VIRTUAL + 1)
    after = planned(folder)
    assert before.data_id == after.data_id
    assert not made & after.virtual.keys()
    rows = {row for run in before.runs.keys() - after.runs.keys() for row in before.runs[run].rows}
    given = {row for run in before.runs.values() if run.spec.virtual for row in run.rows}
    assert rows == given >= {MVP, TAUGHT}


def test_real_images_need_masks_from_files(folder: Path):
    add(folder, "x: {from: mvp, model.virtual.masks: oracle}")
    with pytest.raises(UserError, match="row 'x' asks for oracle masks, which only the synthetic world has"):
        planned(folder, profile="nuscenes")


def test_masks_that_are_not_there_are_one_sentence_for_those_who_need_them(folder: Path, tmp_path: Path):
    found = planned(folder, profile="nuscenes")
    jobs, run = Jobs(found), found.run(MVP).id
    jobs.check_masks([])
    jobs.check_masks(["results/table_main.csv"])
    for word in (
        f"results/runs/{run}/run.json",
        f"results/data/{found.data_id}/{next(iter(found.virtual))}/x",
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
    # where the masks lie is not part of a run
    assert there.plan.runs == found.runs
