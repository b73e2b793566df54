"""Copies of this checkout in which the real snakemake runs."""

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
FOLLOW = ("probe", "figure", "page")  # rules that follow from others
HEADING = re.compile(r"^Job stats:\njob +count\n[- ]+\n((?:\w+ +\d+\n)+)", re.MULTILINE)


@dataclass(frozen=True)
class Checkout:
    """A copy of the checkout; changes in it do not reach this repository."""

    root: Path
    timed: bool = False  # run snakemake as a child process, so that its processor time can be measured

    def snakemake(self, *words: str) -> subprocess.CompletedProcess[str]:
        words = ("--cores", "2", *words)
        if not self.timed:
            return forked.run("snakemake", *words, folder=self.root)
        line = [sys.executable, "-m", "snakemake", *words]
        return subprocess.run(line, cwd=self.root, capture_output=True, text=True, check=False)

    def jobs(self, *words: str) -> dict[str, int]:
        """Announced jobs, without probes, figures and page unless the target is a figure."""
        counts = self.announced(*words)
        # the page is made again only with something it shows
        assert "page" not in counts or len(counts) > 1
        figures = any(word.startswith("figures") for word in words)
        return {rule: count for rule, count in counts.items() if figures or rule not in FOLLOW}

    def announced(self, *words: str) -> dict[str, int]:
        """Number of jobs of each rule that a dry run announces."""
        done = self.snakemake("-n", *words)
        assert done.returncode == 0, done.stderr
        heading = HEADING.search(done.stdout + done.stderr)
        counts = dict(line.split() for line in heading[1].splitlines()) if heading else {}
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
    """Copy the checkout; unless `whole`, with one small table and two claims."""
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
    return made
