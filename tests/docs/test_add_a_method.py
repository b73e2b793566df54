"""Following docs/add-a-method.md works, in a copy of the checkout."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from pages import apply_diff, call, write_files

PAGE = "docs/add-a-method.md"
FILE = re.compile(r"^`(dualdistill/distill/(\w+)\.py)`:\n\n```python\n(.*?)```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def added(copy: Path) -> tuple[Path, str, str]:
    """A copy in which the page was followed, the method and its row."""
    page = (copy / PAGE).read_text()
    [method] = write_files(copy, FILE.findall(page))
    rows = apply_diff(copy, page)
    assert len(rows) == 3
    return copy, method, rows[0]


def printed(page: str, pattern: str) -> list[str]:
    """A command of the page, without ./run."""
    return re.search(rf"^\./run ({pattern}.*)$", page, re.MULTILINE)[1].split()


def test_the_file_passes_ruff(added: tuple[Path, str, str]) -> None:
    folder, method, _ = added
    for words in (("check",), ("format", "--check")):
        done = call(folder, "ruff", *words, f"dualdistill/distill/{method}.py")
        assert done.returncode == 0, done.stdout


def test_the_method_passes_the_contract_tests(added: tuple[Path, str, str]) -> None:
    folder, method, _ = added
    words = printed((folder / PAGE).read_text(), "pytest")
    assert words[-1] == method
    done = call(folder, *words)
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 10


def test_the_row_resolves_and_its_key_is_checked(added: tuple[Path, str, str]) -> None:
    folder, method, row = added
    done = call(folder, *printed((folder / PAGE).read_text(), "python")[2:])
    assert done.returncode == 0, done.stderr
    resolved = json.loads(done.stdout)
    assert resolved["rows"] == [row]
    assert resolved["spec"]["distill"]["method"] == method
    assert resolved["spec"]["distill"]["options"] == {"correlation_weight": 1.0}
    example = re.search(r"`(pkd-\S+: \{.*?\})`", (folder / PAGE).read_text())[1]
    rows = folder / "config" / "variants.yaml"
    text = rows.read_text()
    try:
        rows.write_text(f"{text}{example}\n")
        assert call(folder, "dualdistill", "resolve").returncode == 0
        rows.write_text(f"{text}{example.replace('weight', 'wait')}\n")
        assert "unknown key 'correlation_wait'" in call(folder, "dualdistill", "resolve").stderr
    finally:
        rows.write_text(text)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # includes the README's first command, unless another test has run it
def test_only_the_new_row_is_trained_and_scored(added: tuple[Path, str, str], made: Path) -> None:
    folder, _, row = added
    shutil.copytree(made / "results", folder / "results", dirs_exist_ok=True)
    runs = folder / "results" / "runs"
    before = {path: path.stat().st_mtime_ns for path in runs.glob("*/*.safetensors")}
    run = json.loads(call(folder, "dualdistill", "resolve", row).stdout)["run"]
    done = call(folder, "snakemake", "--cores", "2", f"results/runs/{run}/metrics.json")
    assert done.returncode == 0, done.stdout + done.stderr
    history = (runs / run / "history.jsonl").read_text().splitlines()
    assert json.loads(history[-1])["correlation"] > 0
    new = runs / run / "model.safetensors"
    after = {path: path.stat().st_mtime_ns for path in runs.glob("*/*.safetensors") if path != new}
    assert new.exists()
    assert after == before
