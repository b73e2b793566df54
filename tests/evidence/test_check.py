"""A bundle can be checked without taking it in: its scores follow from its matches."""

from __future__ import annotations

from pathlib import Path

import pytest
from finished_runs import random_matches

from dualdistill.errors import DataError
from dualdistill.evidence.check import check
from dualdistill.evidence.pack import Options, pack
from dualdistill.plan.plan import Plan

ROW = "bevdepth-r50"


def test_scores_are_computed_again_from_the_matches(packed: Path) -> None:
    for path in packed.iterdir():
        assert check(path).endswith(", as its matches say")


def test_scores_that_do_not_follow_from_the_matches_are_refused(finished: Plan, tmp_path: Path) -> None:
    run = finished.runs[finished.table("table_main").rows[1].runs[0]]
    random_matches(seed=99).save(finished.scores(run) / "matches.npz")
    list(pack(finished, (run.id,), tmp_path, Options()))
    with pytest.raises(DataError, match=r"the mAP of its matches is [\d.]+, recorded are [\d.]+ \(val\)"):
        check(tmp_path / f"{run.id}.zip")


def test_figures_of_scenes_are_named_as_such(finished: Plan, tmp_path: Path) -> None:
    list(pack(finished, (ROW,), tmp_path, Options(scenes_only=True)))
    for path in tmp_path.glob(f"{ROW}-s*"):
        assert check(path).endswith("as recorded, with figures of its scenes")
