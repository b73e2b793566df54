"""From an empty folder to a score, for real, on the toy world; tests/docs makes the whole table so."""

import json
import re
import subprocess
import sys

import pytest
from checkouts import Checkout


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
