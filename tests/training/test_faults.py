"""A training that is killed at every point at which it writes ends in the same bytes."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from dualdistill import faults
from dualdistill.store.files import sha256_file

Command = Callable[..., CompletedProcess[str]]
ROW = "pretrain-r50"
# the outputs last: at their points the training is done
ORDER = [f"{file}.{stage}" for file in ("checkpoint", "head") for stage in faults.STAGES]
OUTPUTS = [f"{file}.{stage}" for file in ("weights", "history", "record") for stage in faults.STAGES]


@pytest.fixture(scope="session")
def whole(command: Command, runs: dict[str, str], results: Path) -> Path:
    """The folder of an undisturbed run."""
    command("train", runs[ROW])
    return results / "runs" / runs[ROW]


@pytest.fixture
def untrained(whole: Path, results: Path, tmp_path: Path) -> Path:
    """The results without runs."""
    shutil.copytree(results, copy := tmp_path / "results", ignore=shutil.ignore_patterns("runs"))
    return copy


@pytest.mark.slow
def test_a_run_that_is_killed_at_every_point_ends_in_the_same_bytes(
    command: Command, whole: Path, untrained: Path
) -> None:
    folder = untrained / "runs" / whole.name
    for point in ["backward:2", *ORDER, *OUTPUTS]:
        killed = command("train", whole.name, folder=untrained, check=False, env={faults.VARIABLE: point})
        assert killed.returncode == -signal.SIGKILL, (point, killed.stderr)
        assert (folder / "run.json").exists() == (point == "record.renamed"), point
    command("train", whole.name, folder=untrained)
    for name in ("model.safetensors", "history.jsonl"):
        assert sha256_file(folder / name) == sha256_file(whole / name)
    assert not list(folder.rglob("*.tmp")), "files that were half written stay for good"
    saved = json.loads((folder / "state" / "head.json").read_text())["checkpoints"]
    assert {path.name for path in (folder / "state").glob("step-*.pt")} == {item["name"] for item in saved}


@pytest.mark.slow
def test_a_full_disk_is_a_sentence_and_the_run_goes_on(
    command: Command, whole: Path, untrained: Path
) -> None:
    full = {faults.VARIABLE: "checkpoint.written:2=full"}
    stopped = command("train", whole.name, folder=untrained, check=False, env=full)
    assert stopped.returncode == 7
    assert "cannot write the file: No space left on device" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    command("train", whole.name, folder=untrained)
    weights = untrained / "runs" / whole.name / "model.safetensors"
    assert sha256_file(weights) == sha256_file(whole / "model.safetensors")
