"""A plan over one small table, in a folder that a test may change."""

import shutil
from pathlib import Path

import pytest
from report_runs import planned

from dualdistill.plan import Plan

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
