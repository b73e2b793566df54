"""Every command that the README and docs/ print is typed here, as printed, in a copy of the checkout.

Fenced blocks tagged
`sh` are executed from top to bottom, one page after the other; blocks tagged `text` are output.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("tutorial", "recipes", "figures", "report", "world")
PAGES = ("README.md", *(f"docs/{name}.md" for name in NAMES))
# the test suite itself, and what needs a data set that is not here
NOT_HERE = re.compile(r"^\./run pytest|^git clone|^cd |nuscenes")


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_prints_commands(checkout: Path, page: str) -> None:
    assert commands(checkout / page)


@pytest.mark.slow
def test_every_printed_command_works_as_printed(checkout: Path, copy: Path) -> None:
    printed = list(dict.fromkeys(line for page in PAGES for line in commands(checkout / page)))
    typed = [line for line in printed if not NOT_HERE.search(line)]
    # a few rows and charts instead of all: CI makes the whole table elsewhere
    shutil.copytree(checkout / "tests" / "small", copy / "config", dirs_exist_ok=True)
    assert len(typed) >= len(PAGES)
    for line in typed:
        # the environment is the one that runs this test; ./run has tests of its own
        line = line.removeprefix("./run ")
        done = subprocess.run(line, shell=True, cwd=copy, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert (copy / "results" / "table_main.csv").exists()
