"""Instance masks in the plan: part of the runs with a method that reads them, and of no other run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dualdistill.config import method_options
from dualdistill.errors import UserError
from dualdistill.plan import identity
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan
from dualdistill.plan.snakemake_inputs import Jobs

READER, OTHER = "x3kd-r50-centerpoint", "x3kd-r50-no-xis"


def planned(folder: Path, **overrides: Any) -> Plan:
    return planning.load(folder / "config.yaml", overrides)


def test_a_method_that_reads_masks_gets_those_of_the_profile(folder: Path):
    plan = planned(folder)
    masks, given = plan.run(READER).spec.masks, plan.run("mvp").spec.model.virtual
    assert (masks.masks, masks.damage) == (given.masks, given.damage)
    assert plan.run(OTHER).spec.masks is None
    assert plan.run("dualdistill-r50-centerpoint").spec.masks is None


def test_switching_xis_off_changes_the_method_only(folder: Path):
    plan = planned(folder)
    whole, part = plan.run(READER).spec, plan.run(OTHER).spec
    assert whole.distill.options | {"xis": False} == part.distill.options
    assert replace(whole, distill=None, versions={}) == replace(part, distill=None, versions={})


def test_a_raised_version_of_masks_retrains_their_readers_only(folder: Path, monkeypatch: pytest.MonkeyPatch):
    before = planned(folder)
    monkeypatch.setattr(identity, "MASKS", identity.MASKS + 1)
    after = planned(folder)
    changed = {row for run in before.runs.keys() - after.runs.keys() for row in before.runs[run].rows}
    readers = {row for run in before.runs.values() if run.spec.masks for row in run.rows}
    assert changed == readers >= {READER, "x3kd-r101-centerpoint"}


def test_masks_of_real_images_are_required_only_by_runs_that_read_them(folder: Path, tmp_path: Path):
    plan = planned(folder, profile="nuscenes")
    assert plan.run(READER).spec.masks.masks == "file"
    assert plan.paths.masks is None
    jobs = Jobs(plan)
    jobs.check_masks([f"results/runs/{plan.run(OTHER).id}/run.json"])
    with pytest.raises(UserError, match="masks is not set"):
        jobs.check_masks([f"results/runs/{plan.run(READER).id}/run.json"])
    there = planned(folder, profile="nuscenes", masks=str(tmp_path))
    assert there.paths.masks == tmp_path
    Jobs(there).check_masks([f"results/runs/{there.run(READER).id}/run.json"])


def test_only_x3kd_is_a_reconstruction():
    methods = method_options.methods()
    assert [name for name in methods if method_options.trait(name, "reconstruction", False)] == ["x3kd"]
