"""A plan over one small table, in a folder that a test may change."""

import shutil
from pathlib import Path

import pytest
from report_runs import MEAN_AP, leave_run, planned

from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of config/ with one small table and two claims."""
    for source in (ROOT / "config", ROOT / "tests" / "small"):
        shutil.copytree(source, tmp_path / "config", dirs_exist_ok=True)
    return tmp_path / "config"


@pytest.fixture
def plan(folder: Path) -> Plan:
    return planned(folder)


@pytest.fixture
def dev_plan(folder: Path) -> Plan:
    """The same rows with one seed, scored on the dev split."""
    overrides = {"split": "dev", "profile": "world"}
    made = planning.load(folder / "config.yaml", overrides, results=folder.parent / "results")
    made.paths.index.parent.mkdir(parents=True)
    made.paths.index.write_bytes(b"index")
    for row in made.table("table_main").rows:
        leave_run(made, row.runs[0], MEAN_AP[row.row][0], split="world_dev")
    return made
