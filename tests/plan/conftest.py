"""A copy of config/ that a test may spoil."""

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def whole_folder(tmp_path: Path) -> Path:
    """config/ in a folder of its own."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path / "config"


@pytest.fixture
def folder(whole_folder: Path) -> Path:
    """The same with one small table and two claims."""
    shutil.copytree(ROOT / "tests" / "small", whole_folder, dirs_exist_ok=True)
    return whole_folder
