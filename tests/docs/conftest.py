"""A copy of the checkout in which the pages are followed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def copy(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This checkout as git would hand it over; `profile: smoke`, so that an hour becomes minutes."""
    target = tmp_path_factory.mktemp("docs") / "dualdistill"
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
