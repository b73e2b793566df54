"""Trainings and predictions on two processes of a CPU under nuScenes' names, from the tables to a table."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import reduced
from checkouts import Checkout

from dualdistill.data import stand_in

TEACHER, STUDENT = "centerpoint", "dualdistill-r50-centerpoint"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_teacher_and_its_student_are_trained_and_scored_on_two_processes(
    checkout: Checkout, official_root: Path
) -> None:
    config = checkout.root / "config"
    small = (config / "tables.yaml").read_text()
    shutil.rmtree(config)
    reduced.write_config(Path(__file__).parents[2], config, official_root, official_root / stand_in.MASKS)
    shutil.copytree(Path(__file__).parents[1] / "small", config, dirs_exist_ok=True)
    (config / "tables.yaml").write_text(small[: small.index("      - {row: bevdepth-r50")])
    checkout.edit(
        "config/figures.yaml", "show: {method: [BEVDepth, DualDistill]}", "show: {method: [DualDistill]}"
    )
    checkout.add("config/tables.yaml", f"      - {{row: {STUDENT}, reported: r50_ours_cp}}")
    reduced.set_epochs(config, {TEACHER: 0.1, STUDENT: 0.1, "labels": 0.1})
    devices = "devices={teacher: 2, student: 2, predict: 2}"
    done = checkout.snakemake("results/table_main.csv", "--config", devices)
    assert done.returncode == 0, done.stdout + done.stderr
    results = checkout.root / "results"
    for row in (TEACHER, STUDENT):
        (run,) = results.glob(f"runs/{row}-s0-*")
        written = (run / "logs" / "train.log").read_text()
        assert "batch 2 = 2 (devices) x 1 (samples at once) x 1 (accumulated parts)" in written
        assert written.count("wrote ") == 1  # by the first process
        trained, scored = (json.loads((run / name).read_text()) for name in ("run.json", "metrics.json"))
        assert [part["devices"] for part in trained["devices"]] == [2]
        assert scored["evaluation"] == "devkit"  # which the exact one equals, or nothing is written
        assert (run / "matches.npz").exists()
    with (results / "table_main.csv").open(newline="") as stream:
        assert all(line["mAP"] for line in csv.DictReader(stream))
