"""The commands that the README and docs/ print, to be typed in a copy of the checkout.

Fenced blocks tagged `sh` are typed from top to bottom, page after page; blocks tagged `text` are output.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

NAMES = ("tutorial", "recipes", "figures", "report", "world")
PAGES = ("README.md", *(f"docs/{name}.md" for name in NAMES))
# the test suite itself, and what needs a data set that is not here
NOT_HERE = re.compile(r"^\./run pytest|^git clone|^cd |nuscenes")


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def to_type(checkout: Path) -> list[str]:
    """All of them, each once."""
    printed = dict.fromkeys(line for page in PAGES for line in commands(checkout / page))
    return [line for line in printed if not NOT_HERE.search(line)]


def type_in(folder: Path, line: str) -> str:
    """What it prints, in the environment that runs this test: ./run has tests of its own."""
    done = subprocess.run(
        line.removeprefix("./run "), shell=True, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout + done.stderr
