"""The whole workflow for real, from an empty folder to the table, on the toy world."""

import csv
import json
import re
import subprocess
import sys

import pytest
from checkouts import Checkout

SCORES = ("mAP", "NDS", "delta_mAP", "delta_NDS", "reported_mAP", "reported_NDS")
COLUMNS = {"backbone", "method", "base", "teacher", *SCORES, "mAP_std", "NDS_std", "n_seeds"}
COLUMNS |= {"reported_delta_mAP", "reported_delta_NDS", "data", "recipe", "run"}


@pytest.mark.slow
def test_the_smoke_profile_ends_in_the_table_and_the_claims(checkout: Checkout):
    done = checkout.snakemake("--config", "profile=smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    with (checkout.root / "results" / "table_main.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert set(rows[0]) >= COLUMNS
    assert [(row["method"], row["backbone"]) for row in rows] == [
        ("CenterPoint", ""),
        ("BEVDepth", "ResNet-50"),
        ("DualDistill", "ResNet-50"),
        ("BEVDepth", "ResNet-101"),
        ("DualDistill", "ResNet-101"),
    ]
    assert all(0 <= float(row[metric]) <= 100 for row in rows for metric in ("mAP", "NDS"))
    assert {(row["data"], row["profile"]) for row in rows} == {("world", "smoke")}
    assert rows[2]["reported_mAP"] == "40.5"
    with (checkout.root / "results" / "claims.csv").open(newline="") as stream:
        assert {row["verdict"] for row in csv.DictReader(stream)} == {"undecided"}
    # the same command again has nothing to do
    assert checkout.jobs("--config", "profile=smoke") == {}


@pytest.mark.slow
def test_a_student_of_the_other_teacher_is_scored(checkout: Checkout):
    line = [sys.executable, "-m", "dualdistill", "resolve", "--profile", "smoke"]
    listed = subprocess.run(line, cwd=checkout.root, capture_output=True, text=True, check=True).stdout
    run = re.search(r"^(\S+)  dualdistill-r50-mvp$", listed, re.MULTILINE)[1]
    done = checkout.snakemake(f"results/runs/{run}/metrics.json", "--config", "profile=smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    made = next((checkout.root / "results" / "data").glob("world-*/virtual-*/virtual.json"))
    assert 0 < json.loads(made.read_text())["quality"]["mask_ap"] < 100
    history = (checkout.root / "results" / "runs" / run / "history.jsonl").read_text().splitlines()
    assert any(name.startswith("crd") for name in json.loads(history[-1]))
