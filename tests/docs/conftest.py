"""Copies of the checkout in which tests follow the pages of docs/."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from printed import all_commands, run_command


def clone(checkout: Path, target: Path) -> Path:
    """Copy the files that git would clone, with `profile: smoke`, which takes minutes instead of an hour."""
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
    """A copy in which the README's first command has made the main table."""
    target = clone(checkout, tmp_path_factory.mktemp("made") / "dualdistill")
    # a few rows and charts; CI makes the whole table elsewhere
    shutil.copytree(checkout / "tests" / "small", target / "config", dirs_exist_ok=True)
    run_command(target, all_commands(checkout)[0])
    return target
