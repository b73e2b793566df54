"""Real jobs from an empty folder to a score, with the smoke profile; tests/docs makes the whole table."""

import json
import re
import subprocess
import sys

import pytest
from checkouts import Checkout


@pytest.mark.slow
def test_a_student_of_the_mvp_teacher_is_trained_and_scored(checkout: Checkout):
    line = [sys.executable, "-m", "dualdistill", "resolve", "--profile", "smoke"]
    listed = subprocess.run(line, cwd=checkout.root, capture_output=True, text=True, check=True).stdout
    run = re.search(r"^(\S+)  dualdistill-r50-mvp$", listed, re.MULTILINE)[1]
    done = checkout.snakemake(f"results/runs/{run}/metrics.json", "--config", "profile=smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = next((checkout.root / "results" / "data").glob("world-*/virtual-*/virtual.json"))
    assert 0 < json.loads(manifest.read_text())["quality"]["mask_ap"] < 100
    history = (checkout.root / "results" / "runs" / run / "history.jsonl").read_text().splitlines()
    assert any(name.startswith("crd") for name in json.loads(history[-1]))
