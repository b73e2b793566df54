"""Follow a page of docs/ in a copy of the checkout: write its files, apply its diffs, call its commands."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

DIFF = re.compile(r"```diff\n(.*?)```", re.DOTALL)


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


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Call `python -m WORDS` in a folder, with the package of that folder."""
    line, paths = [sys.executable, "-m", *words], {"PYTHONPATH": str(folder)}
    return subprocess.run(
        line, cwd=folder, env=os.environ | paths, capture_output=True, text=True, check=False
    )


def write_files(folder: Path, files: Iterable[tuple[str, str, str]]) -> list[str]:
    """Write new files given as (path, name, content), and return their names."""
    names = []
    for path, name, content in files:
        assert not (folder / path).exists()
        (folder / path).write_text(content)
        names.append(name)
    return names


def apply_diff(folder: Path, page: str) -> list[str]:
    """Add each line of the page's diff below the line before it, and return the added keys."""
    match = DIFF.search(page)
    assert match
    keys = []
    shown = ""
    target = folder
    for before, line in itertools.pairwise(match[1].splitlines()):
        if line.startswith("+++ b/"):
            target = folder / line.removeprefix("+++ b/")
        elif line.startswith("+"):
            shown = shown if before.startswith("+") else before[1:]
            text = target.read_text()
            assert text.count(f"{shown}\n") == 1, shown
            target.write_text(text.replace(f"{shown}\n", f"{shown}\n{line[1:]}\n"))
            keys.append(line[1:].strip().partition(":")[0])
            shown = line[1:]
    return keys
