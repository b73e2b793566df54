"""Copies of the checkout in which tests follow the pages of docs/."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pages import clone
from printed import all_commands, run_command


@pytest.fixture(scope="module")
def copy(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clone(checkout, tmp_path_factory.mktemp("docs") / "dualdistill")


@pytest.fixture(scope="session")
def made(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in which the README's first command has made the main table."""
    target = clone(checkout, tmp_path_factory.mktemp("made") / "dualdistill")
    # a few rows and charts; CI makes the whole table elsewhere
    shutil.copytree(checkout / "tests" / "small", target / "config", dirs_exist_ok=True)
    run_command(target, all_commands(checkout)[0])
    return target
