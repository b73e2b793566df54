"""A copy of this checkout in which real snakemake runs."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import forked

ROOT = Path(__file__).parents[1]
PARTS = (
    "Snakefile",
    "workflow",
    "config",
    "profiles",
    "dualdistill",
    "environment.yml",
    "docs/add-an-ablation.md",
)
FOLLOW = ("probe", "figure", "page")
HEADING = re.compile(r"^Job stats:\njob +count\n[- ]+\n((?:\w+ +\d+\n)+)", re.MULTILINE)


@dataclass(frozen=True)
class Checkout:
    """The copy; what happens in it leaves this repository alone."""

    root: Path
    timed: bool = False  # a call then loads its own libraries, and is a child whose processor time is known

    def snakemake(self, *words: str) -> subprocess.CompletedProcess[str]:
        words = ("--cores", "2", *words)
        if not self.timed:
            return forked.run("snakemake", *words, folder=self.root)
        line = [sys.executable, "-m", "snakemake", *words]
        return subprocess.run(line, cwd=self.root, capture_output=True, text=True, check=False)

    def jobs(self, *words: str) -> dict[str, int]:
        """How many jobs of each rule a dry run announces; figures and page, which follow others, apart."""
        found = self.announced(*words)
        # it is never made anew for nothing
        assert "page" not in found or len(found) > 1
        asked = any(word.startswith("figures") for word in words)
        return {rule: count for rule, count in found.items() if asked or rule not in FOLLOW}

    def announced(self, *words: str) -> dict[str, int]:
        done = self.snakemake("-n", *words)
        assert done.returncode == 0, done.stderr
        found = HEADING.search(done.stdout + done.stderr)
        counts = dict(line.split() for line in found[1].splitlines()) if found else {}
        return {rule: int(count) for rule, count in counts.items() if rule not in ("all", "total")}

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.root / name
        before = path.read_text()
        assert old in before, f"{name} has no {old!r}"
        path.write_text(before.replace(old, new, 1))

    def add(self, name: str, text: str) -> None:
        with (self.root / name).open("a") as stream:
            stream.write(text + "\n")


def copy(target: Path, *, whole: bool = False) -> Checkout:
    """The checkout, with a small table, two claims and no detectors to start from unless all is asked for."""
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    made = Checkout(target)
    if not whole:
        shutil.copytree(ROOT / "tests" / "small", target / "config", dirs_exist_ok=True)
        made.edit("config/profiles/world.yaml", "start: detector", "start: pretrained")
    return made
