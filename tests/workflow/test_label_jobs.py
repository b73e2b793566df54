"""A student that learns from labels waits for two teachers, and is trained anew with either."""

import re
import subprocess
import sys

from checkouts import Checkout

LINE = "      - {row: labeldistill-r50-centerpoint, baseline: bevdepth-r50}"


def run_of(checkout: Checkout, row: str) -> str:
    line = [sys.executable, "-m", "dualdistill", "resolve"]
    listed = subprocess.run(line, cwd=checkout.root, capture_output=True, text=True, check=True).stdout
    return re.search(rf"^(\S+)  {row}$", listed, re.MULTILINE)[1]


def test_a_student_that_learns_from_labels_waits_for_both_its_teachers(checkout: Checkout):
    run = run_of(checkout, "labeldistill-r50-centerpoint")
    before = ("world", "index_data", "cache", "train_teacher", "train_label_encoder", "pretrain")
    after = ("train", "predict", "evaluate")
    assert checkout.jobs(f"results/runs/{run}/metrics.json") == dict.fromkeys([*before, *after], 1)


def test_a_label_encoder_trained_anew_retrains_its_students_and_no_other_run(finished: Checkout):
    finished.add("config/tables.yaml", LINE)
    own = {"train": 1, "predict": 1, "evaluate": 1, "table": 1}
    assert finished.jobs() == {"train_label_encoder": 1, **own}
    assert finished.snakemake().returncode == 0
    assert finished.jobs() == {}
    record = next((finished.root / "results" / "runs").glob("labels-centerpoint-*")) / "run.json"
    record.write_text("another training\n")
    assert finished.jobs() == own


def test_a_teacher_trained_anew_retrains_the_label_encoder_too(finished: Checkout):
    finished.add("config/tables.yaml", LINE)
    assert finished.snakemake().returncode == 0
    record = next((finished.root / "results" / "runs").glob("centerpoint-*")) / "run.json"
    record.write_text("another training\n")
    views = {"table": 1, "claims": 1}
    assert finished.jobs() == {"train_label_encoder": 1, "train": 3, "predict": 4, "evaluate": 4, **views}
