"""Finished runs and their bundles, made once; a test gets copies, and an empty place to take them to."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from finished_runs import complete, elsewhere
from report_runs import planned

from dualdistill.evidence.pack import Options, pack
from dualdistill.plan.plan import Plan


@pytest.fixture(scope="session")
def made(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A plan with two seeds of a small table, all of its runs complete, and a bundle of each."""
    folder = tmp_path_factory.mktemp("evidence")
    shutil.copytree(checkout / "config", folder / "config")
    shutil.copytree(checkout / "tests" / "small", folder / "config", dirs_exist_ok=True)
    plan = planned(folder / "config")
    for run in {run for row in plan.table("table_main").rows for run in row.runs}:
        complete(plan, plan.runs[run])
    assert list(pack(plan, (), folder / "evidence", Options()))
    return plan


@pytest.fixture
def finished(made: Plan, tmp_path: Path) -> Plan:
    shutil.copytree(made.results, tmp_path / "results")
    return elsewhere(made, tmp_path / "results")


@pytest.fixture
def packed(made: Plan, tmp_path: Path) -> Path:
    """A folder with a bundle of every finished run."""
    shutil.copytree(made.results.parent / "evidence", tmp_path / "evidence")
    return tmp_path / "evidence"


@pytest.fixture
def clone(made: Plan, tmp_path: Path) -> Plan:
    """The same plan in a clone without results."""
    return elsewhere(made, tmp_path / "clone")
