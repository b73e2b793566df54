"""bench/steps takes the steps of rows in turns and writes their times beside what the machine attains."""

from __future__ import annotations

from pathlib import Path

import forked
import pytest
from steps import main

forked.load_beforehand("lightning_fabric", "dualdistill.models")


@pytest.fixture(scope="module")
def results(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the smoke profile with what a student of CenterPoint needs."""
    folder = tmp_path_factory.mktemp("results")
    where = ("--profile", "smoke", "--results", str(folder))

    def call(*words: str) -> str:
        done = forked.run("dualdistill", *words, *where, folder=checkout)
        assert done.returncode == 0, done.stderr
        return done.stdout

    for stage in ("world", "index", "cache"):
        call(stage)
    pretraining = next(line for line in call("resolve").split() if line.startswith("pretrain-r50-"))
    for run in ("centerpoint", pretraining):
        call("train", run)
    return folder


@pytest.mark.slow
def test_it_measures_steps_of_rows_and_of_two_checkouts(
    checkout: Path, results: Path, tmp_path: Path
) -> None:
    words = ["--results", str(results), "--profile", "smoke", "--steps", "1", "--rounds", "2"]
    words += ["--config", str(checkout / "config" / "config.yaml"), "--out", str(tmp_path / "steps.md")]
    rows = ["bevdepth-r50", "dualdistill-r50-centerpoint"]
    out = main([*words, "--rows", *rows, "--against", str(checkout)])
    lines = [line.strip("| ").split(" | ") for line in out.read_text().splitlines()[4:]]
    assert [line[0] for line in lines] == [rows[0], rows[0], rows[1], rows[1]]
    assert lines[0][3] == "1.0"
    for line in lines:
        assert all(float(figure) > 0 for figure in line[2:])
    gflop = [float(line[4]) for line in lines]
    assert gflop[0] == gflop[1] < gflop[2] == gflop[3]
