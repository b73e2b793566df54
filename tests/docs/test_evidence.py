"""A clone that has taken in bundles makes the same tables, claims and figures, and trains nothing."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from pages import clone
from printed import run_command

VIEWS = (
    *(f"results/table_main.{ending}" for ending in ("csv", "md", "tex")),
    *(f"results/{name}" for name in ("claims.csv", "claims_pairs.csv", "claims.md")),
    *(f"figures/{name}.svg" for name in ("main", "claims", "training")),
)
TARGETS = " ".join(VIEWS)
ROWS = "centerpoint bevdepth-r50 dualdistill-r50-centerpoint bevdepth-r101 dualdistill-r101-centerpoint"


def announced(printed: str) -> set[str]:
    """The rules in snakemake's list of jobs."""
    return {*re.findall(r"^(\w+) +\d+$", printed, re.MULTILINE)} - {"total"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_clone_makes_the_same_views_without_training(checkout: Path, made: Path, tmp_path: Path) -> None:
    run_command(made, f"snakemake --cores all {TARGETS}")
    start = re.search(r"^pretrain-r50-\S+", run_command(made, "python -m dualdistill resolve"), re.MULTILINE)
    assert start
    runs = f"{ROWS} {start[0]}"
    run_command(made, f"python -m dualdistill bundle pack {runs} --into {tmp_path}/evidence")
    target = clone(checkout, tmp_path / "clone")
    shutil.copytree(checkout / "tests" / "small", target / "config", dirs_exist_ok=True)
    run_command(target, f"python -m dualdistill bundle take {tmp_path}/evidence")
    printed = run_command(target, f"snakemake --cores all {TARGETS}")
    assert announced(printed) == {"table", "claims", "figure"}
    for view in VIEWS:
        assert (target / view).read_bytes() == (made / view).read_bytes(), view
    assert "Nothing to be done" in run_command(target, f"snakemake --cores all {TARGETS}")
    packed = run_command(target, f"python -m dualdistill bundle pack {runs} --into {tmp_path}/again")
    assert packed.count(" MB, ") == 6
    for path in (tmp_path / "evidence").iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
    # a student that did not come is trained with the teacher and the pre-training that did
    shutil.rmtree(next((target / "results" / "runs").glob("dualdistill-r50-centerpoint-*")))
    (target / "results" / "table_main.csv").unlink()
    planned = run_command(target, "snakemake -n --cores all results/table_main.csv")
    assert announced(planned) == {"world", "index_data", "cache", "train", "predict", "evaluate", "table"}
