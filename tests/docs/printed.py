"""Commands printed by the README and docs/, to run in a copy of the checkout.

Fenced blocks tagged `sh` are run from top to bottom, page after page; blocks tagged `text` are output.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

NAMES = ("tutorial", "recipes", "released", "figures", "report", "world", "evidence")
PAGES = ("README.md", *(f"docs/{name}.md" for name in NAMES))
# excluded: the test suite itself, and commands that need nuScenes
NOT_HERE = re.compile(r"^\./run pytest|^git clone|^cd |nuscenes")


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def all_commands(checkout: Path) -> list[str]:
    """All printed commands, each once."""
    printed = dict.fromkeys(line for page in PAGES for line in commands(checkout / page))
    return [line for line in printed if not NOT_HERE.search(line)]


def run_command(folder: Path, line: str) -> str:
    """Run a command in this test's environment, without ./run, and return its output."""
    done = subprocess.run(
        line.removeprefix("./run "), shell=True, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout + done.stderr
