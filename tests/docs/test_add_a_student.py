"""Following docs/add-a-student.md works, in a copy of the checkout."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from pages import apply_diff, call, write_files

PAGE = "docs/add-a-student.md"
FILE = re.compile(r"^`(dualdistill/models/(\w+)\.py)`:\n\n```python\n(.*?)```", re.MULTILINE | re.DOTALL)
ROWS = ("pull-r50", "dualdistill-pull-r50")


@pytest.fixture(scope="module")
def added(copy: Path) -> Path:
    """A copy in which the page was followed."""
    page = (copy / PAGE).read_text()
    assert write_files(copy, FILE.findall(page)) == ["pull"]
    assert len(apply_diff(copy, page)) == 5
    return copy


def resolved(folder: Path, row: str) -> dict:
    done = call(folder, "dualdistill", "resolve", row)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_the_file_passes_ruff_and_mypy(added: Path) -> None:
    for words in (("ruff", "check"), ("ruff", "format", "--check"), ("mypy",)):
        done = call(added, *words, "dualdistill/models/pull.py")
        assert done.returncode == 0, done.stdout


def test_its_rows_resolve_and_its_numbers_are_checked(added: Path) -> None:
    model = resolved(added, ROWS[0])["spec"]["model"]
    assert (model["network"], model["channels"], model["heights_m"]) == ("pull", 16, [-2.0, -1.0, 0.0, 1.0])
    rows = added / "config" / "variants.yaml"
    text = rows.read_text()
    try:
        for key, sentence in (
            ("model.chanels: 8", "unknown key 'model.chanels' in row 'x' (did you mean 'model.channels'?)"),
            ("model.channels: 0", "'model.channels' in row 'x' must be at least 1, not 0"),
        ):
            rows.write_text(f"{text}x: {{from: pull-r50, {key}}}\n")
            assert sentence in call(added, "dualdistill", "resolve").stderr
    finally:
        rows.write_text(text)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # includes the README's first command, unless another test has run it
def test_it_trains_alone_and_with_a_method_and_is_scored(added: Path, made: Path) -> None:
    shutil.copytree(made / "results", added / "results", dirs_exist_ok=True)
    runs = {row: resolved(added, row)["run"] for row in ROWS}
    targets = [f"results/runs/{run}/metrics.json" for run in runs.values()]
    done = call(added, "snakemake", "--cores", "2", *targets)
    assert done.returncode == 0, done.stdout + done.stderr
    for row, run in runs.items():
        history = (added / "results" / "runs" / run / "history.jsonl").read_text().splitlines()
        first, last = json.loads(history[0]), json.loads(history[-1])
        assert {"heatmap", "box", "depth"} <= last.keys()
        assert ("crd" in last) == (row == ROWS[1])
        assert last["depth"] < first["depth"]
