"""Jobs of a student that learns from encoded labels: it waits for its teacher and its label encoder."""

import re
import subprocess
import sys

import pytest
from checkouts import Checkout

LINE = "      - {row: labeldistill-r50-centerpoint, baseline: bevdepth-r50}"


def run_of(checkout: Checkout, row: str) -> str:
    line = [sys.executable, "-m", "dualdistill", "resolve"]
    listed = subprocess.run(line, cwd=checkout.root, capture_output=True, text=True, check=True).stdout
    return re.search(rf"^(\S+)  {row}$", listed, re.MULTILINE)[1]


def test_a_student_waits_for_its_teacher_and_its_label_encoder(checkout: Checkout):
    run = run_of(checkout, "labeldistill-r50-centerpoint")
    before = ("world", "index_data", "cache", "train_teacher", "train_label_encoder", "pretrain")
    after = ("train", "predict", "evaluate")
    assert checkout.jobs(f"results/runs/{run}/metrics.json") == dict.fromkeys([*before, *after], 1)


@pytest.mark.slow
def test_retraining_a_label_encoder_retrains_its_students_only(finished: Checkout):
    finished.add("config/tables.yaml", LINE)
    student = {"train": 1, "predict": 1, "evaluate": 1, "table": 1}
    assert finished.jobs() == {"train_label_encoder": 1, **student}
    assert finished.snakemake().returncode == 0
    assert finished.jobs() == {}
    record = next((finished.root / "results" / "runs").glob("labels-centerpoint-*")) / "run.json"
    record.write_text("another training\n")
    assert finished.jobs() == student


@pytest.mark.slow
def test_retraining_a_teacher_retrains_its_label_encoder(finished: Checkout):
    finished.add("config/tables.yaml", LINE)
    assert finished.snakemake().returncode == 0
    record = next((finished.root / "results" / "runs").glob("centerpoint-*")) / "run.json"
    record.write_text("another training\n")
    views = {"table": 1, "claims": 1}
    assert finished.jobs() == {"train_label_encoder": 1, "train": 3, "predict": 4, "evaluate": 4, **views}
