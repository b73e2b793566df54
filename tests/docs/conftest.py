"""Copies of the checkout in which the pages are followed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from printed import to_type, type_in


def clone(checkout: Path, target: Path) -> Path:
    """This checkout as git would hand it over; `profile: smoke`, so that an hour becomes minutes."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (checkout / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(checkout / name, target / name)
    config = target / "config" / "config.yaml"
    config.write_text(re.sub(r"^profile: world\b", "profile: smoke", config.read_text(), flags=re.MULTILINE))
    assert "profile: smoke" in config.read_text()
    return target


@pytest.fixture(scope="module")
def copy(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clone(checkout, tmp_path_factory.mktemp("docs") / "dualdistill")


@pytest.fixture(scope="session")
def made(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in which the first command of the README was typed, from nothing to the table."""
    target = clone(checkout, tmp_path_factory.mktemp("made") / "dualdistill")
    # a few rows and charts instead of all: CI makes the whole table elsewhere
    shutil.copytree(checkout / "tests" / "small", target / "config", dirs_exist_ok=True)
    type_in(target, to_type(checkout)[0])
    return target
