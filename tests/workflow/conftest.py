"""Checkouts without results, and with all results, which a stand-in for the commands has written."""

import shutil
from pathlib import Path

import forked
import pytest
from checkouts import Checkout, copy

forked.load_beforehand("snakemake.cli")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout without results."""
    return copy(tmp_path / "checkout")


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    target = copy(tmp_path_factory.mktemp("workflow") / "checkout")
    shutil.copy2(Path(__file__).parent / "stand_in.py", target.root / "dualdistill" / "__main__.py")
    done = target.snakemake()
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def finished(finished_once: Checkout, tmp_path: Path) -> Checkout:
    """A checkout in which every job of the world profile has run, with a stand-in for the commands."""
    shutil.copytree(finished_once.root, tmp_path / "checkout", ignore=shutil.ignore_patterns("__pycache__"))
    return Checkout(tmp_path / "checkout")
