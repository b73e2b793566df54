"""Trainings and predictions on two processes of a CPU, from an empty folder to a score."""

from __future__ import annotations

import json
import re

import pytest
from checkouts import Checkout

SMOKE = "config/profiles/smoke.yaml"


@pytest.mark.slow
def test_a_teacher_and_its_student_are_trained_and_scored_on_two_processes(checkout: Checkout) -> None:
    checkout.edit(SMOKE, "    batch: 2\n", "    batch: 2\n    batch_per_device: 1\n")
    checkout.edit(SMOKE, "student: {epochs: 2}", "student: {epochs: 1}")
    checkout.edit(SMOKE, "start: pretrained", "start: random")
    words = ("--config", "profile=smoke", "devices={teacher: 2, student: 2, predict: 2}")
    announced = checkout.snakemake("-n", *words).stdout
    run = re.search(r"results/runs/(dualdistill-r50-centerpoint-\S+?)/", announced)[1]
    done = checkout.snakemake(f"results/runs/{run}/metrics.json", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = checkout.root / "results" / "runs"
    for log in (runs / run / "logs" / "train.log", next(runs.glob("centerpoint-*/logs/train.log"))):
        written = log.read_text()
        assert "batch 2 = 2 (devices) x 1 (samples at once) x 1 (accumulated parts)" in written
        assert written.count("step 4/4") == 1  # of the first process
    assert sum(json.loads((runs / run / "metrics.json").read_text())["ground_truth_boxes"].values()) > 0
