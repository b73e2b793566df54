"""Objects to paste in the plan: a stage of its own, for the training of teachers at full size."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dualdistill.config.run_spec import RunSpec
from dualdistill.errors import UserError
from dualdistill.plan import identity
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan
from dualdistill.plan.snakemake_inputs import Jobs

TEACHERS = ("centerpoint", "mvp")


def planned(folder: Path, **overrides: Any) -> Plan:
    return planning.load(folder / "config.yaml", overrides, folder.parent / "results")


@pytest.mark.parametrize("recipe", ["matched", "as_published"])
def test_both_teachers_of_nuscenes_paste_objects_with_their_own_points(folder: Path, recipe: str):
    plan = planned(folder, profile="nuscenes", recipe=recipe)
    specs = [plan.run(row).spec for row in TEACHERS]
    folders = [plan.paths.objects(spec) for spec in specs]
    assert all(each.parent == plan.paths.index.parent for each in folders)
    assert len(plan.objects) == len(set(folders)) == 2
    name, spec = plan.pasted_objects("mvp")
    assert (name, spec) == plan.pasted_objects(name) == (folders[1].name, specs[1])
    with pytest.raises(UserError, match="'bevdepth-r50' pastes no objects"):
        plan.pasted_objects("bevdepth-r50")


@pytest.mark.parametrize("profile", ["world", "smoke"])
def test_nothing_is_pasted_in_the_world(folder: Path, profile: str):
    plan = planned(folder, profile=profile, recipe="as_published")
    assert plan.objects == {}
    assert not any(run.spec.pastes for run in plan.runs.values())


def test_only_the_training_of_a_teacher_waits_for_its_objects(folder: Path):
    plan = planned(folder, profile="nuscenes")
    jobs = Jobs(plan)

    def waits(row: str, stage: str) -> list[str]:
        wildcards = SimpleNamespace(run=plan.run(row).id)
        return [name for name in getattr(jobs, stage)(wildcards) if name.endswith("objects.json")]

    for row in TEACHERS:
        assert waits(row, "training_data") == [str(plan.paths.objects(plan.run(row).spec) / "objects.json")]
        assert waits(row, "prediction_data") == []
    # its weights are those of centerpoint: nothing is trained
    assert waits("every-ring-4", "training_data") == waits("dualdistill-r50-mvp", "training_data") == []
    needed = jobs.objects_data(SimpleNamespace(objects=plan.paths.objects(plan.run("mvp").spec).name))
    assert [Path(name).name for name in needed] == ["index.npz", "virtual.json"]


def test_objects_cut_from_virtual_points_need_masks(folder: Path):
    plan = planned(folder, profile="nuscenes")
    plain, virtual = (plan.paths.objects(plan.run(row).spec).name for row in TEACHERS)
    target = f"{plan.results}/data/{plan.data_id}/{{}}/objects.json"
    Jobs(plan).check_masks([target.format(plain)])
    with pytest.raises(UserError, match="masks is not set"):
        Jobs(plan).check_masks([target.format(virtual)])


def depends(spec: RunSpec) -> bool:
    """Whether a run, its teacher or the run with its initial weights is trained with pasted objects."""
    return "objects" in spec.versions or any(map(depends, filter(None, (spec.teacher, spec.pretraining))))


def test_a_raised_version_changes_the_teachers_that_paste_and_their_students_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    before, world = planned(folder, profile="nuscenes"), planned(folder)
    made = set(before.objects)
    monkeypatch.setattr(identity, "OBJECTS", identity.OBJECTS + 1)
    after = planned(folder, profile="nuscenes")
    assert not made & after.objects.keys()
    changed = before.runs.keys() - after.runs.keys()
    assert changed == {run.id for run in before.runs.values() if depends(run.spec)}
    rows = (*TEACHERS, "dualdistill-r50-mvp", "bevdepth-r50")
    assert [before.run(row).id in changed for row in rows] == [True, True, True, False]
    assert planned(folder).runs.keys() == world.runs.keys()
