"""Trainings on the GPUs of one machine, which a stand-in for the driver's command lists."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from checkouts import Checkout

GPUS = 4


@pytest.fixture
def equipped(checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A checkout on a machine with GPUs, and with a stand-in for the commands."""
    uuids = [f"GPU-{os.getpid()}-{tmp_path.name}-{number}" for number in range(GPUS)]
    command = tmp_path / "tools" / "nvidia-smi"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\nprintf '%s\\n' " + " ".join(uuids) + "\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    shutil.copy2(Path(__file__).parent / "stand_in.py", checkout.root / "dualdistill" / "__main__.py")
    return Checkout(checkout.root, timed=True)  # a forked snakemake would not see this PATH


def gpus_of_trainings(checkout: Checkout, targets: list[str], *words: str) -> list[list[str]]:
    """Train; return the GPUs of each training, after a check that none had two trainings at the same time."""
    notes = checkout.root / "gpus.jsonl"
    notes.unlink(missing_ok=True)
    done = checkout.snakemake("--cores", "8", *words, "--", *targets)
    assert done.returncode == 0, done.stdout + done.stderr
    spans = [json.loads(line) for line in notes.read_text().splitlines()]
    for uuid in {uuid for gpus, _, _ in spans for uuid in gpus}:
        times = sorted((began, ended) for gpus, began, ended in spans if uuid in gpus)
        assert all(ended <= began for (_, ended), (began, _) in itertools.pairwise(times))
    return [gpus for gpus, _, _ in spans]


@pytest.mark.slow
def test_as_many_trainings_run_as_there_are_gpus_each_on_its_own(equipped: Checkout) -> None:
    """Without a flag; the user may give fewer."""
    announced = equipped.snakemake("-n", "results/table_main.csv").stdout
    runs = {run for run in re.findall(r"results/runs/([\w-]+)/metrics\.json", announced) if "-r" in run}
    targets = [f"results/runs/{run}/run.json" for run in runs]
    assert len(targets) == GPUS
    used = gpus_of_trainings(equipped, targets)
    assert {len(gpus) for gpus in used} == {1}
    # they are taken in order, so that the last is used only while all others are
    assert len({gpus[0] for gpus in used}) == GPUS
    for run in runs:
        shutil.rmtree(equipped.root / "results" / "runs" / run)
    again = gpus_of_trainings(equipped, targets, "--resources", "gpu=2")
    assert (len(again), len({gpus[0] for gpus in again})) == (GPUS, 2)


def test_a_job_on_more_gpus_than_there_are_is_refused(equipped: Checkout) -> None:
    done = equipped.snakemake("-n", "--config", "devices={predict: 8}")
    sentence = "devices.predict is 8, and there are 4 GPUs (see devices in config/config.yaml)\n"
    assert (done.returncode, done.stderr.endswith(sentence)) == (2, True), done.stderr
    elsewhere = equipped.snakemake(
        "-n", "--config", "devices={predict: 8}", "--executor", "slurm", "--jobs", "9"
    )
    assert elsewhere.returncode == 0, elsewhere.stderr  # the GPUs of a cluster are not those of this machine
