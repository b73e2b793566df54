"""Instance masks in the plan: part of a run whose method reads them, and of no other."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dualdistill.config import method_options
from dualdistill.errors import UserError
from dualdistill.plan import identity, plan
from dualdistill.plan.plan import Plan
from dualdistill.plan.snakemake_inputs import Jobs

READER, OTHER = "x3kd-r50-centerpoint", "x3kd-r50-no-xis"


def planned(folder: Path, **overrides: Any) -> Plan:
    return plan.load(folder / "config.yaml", overrides)


def test_a_method_that_reads_masks_is_given_those_of_the_profile(folder: Path):
    found = planned(folder)
    masks, given = found.run(READER).spec.masks, found.run("mvp").spec.model.virtual
    assert (masks.masks, masks.damage) == (given.masks, given.damage)
    assert found.run(OTHER).spec.masks is None
    assert found.run("dualdistill-r50-centerpoint").spec.masks is None


def test_without_x_is_the_row_is_another_run_of_the_same_method(folder: Path):
    found = planned(folder)
    whole, part = found.run(READER).spec, found.run(OTHER).spec
    assert whole.distill.options | {"xis": False} == part.distill.options
    assert replace(whole, distill=None, versions={}) == replace(part, distill=None, versions={})


def test_other_masks_train_their_readers_anew_and_nobody_else(folder: Path, monkeypatch: pytest.MonkeyPatch):
    before = planned(folder)
    monkeypatch.setattr(identity, "MASKS", identity.MASKS + 1)
    after = planned(folder)
    changed = {row for run in before.runs.keys() - after.runs.keys() for row in before.runs[run].rows}
    readers = {row for run in before.runs.values() if run.spec.masks for row in run.rows}
    assert changed == readers >= {READER, "x3kd-r101-centerpoint"}


def test_masks_of_real_images_are_asked_for_where_they_are_read(folder: Path, tmp_path: Path):
    found = planned(folder, profile="nuscenes")
    assert found.run(READER).spec.masks.masks == "file"
    assert found.paths.masks is None
    jobs = Jobs(found)
    jobs.check_masks([f"results/runs/{found.run(OTHER).id}/run.json"])
    with pytest.raises(UserError, match="masks is not set"):
        jobs.check_masks([f"results/runs/{found.run(READER).id}/run.json"])
    there = planned(folder, profile="nuscenes", masks=str(tmp_path))
    assert there.paths.masks == tmp_path
    Jobs(there).check_masks([f"results/runs/{there.run(READER).id}/run.json"])


def test_only_what_could_not_be_read_is_a_reconstruction():
    told = {
        method: method_options.trait(method, "reconstruction", False) for method in method_options.methods()
    }
    assert [method for method, reconstructed in told.items() if reconstructed] == ["x3kd"]
