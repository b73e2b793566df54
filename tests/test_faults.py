"""A fault happens at its point, its rank and its visit, and nowhere without the variable."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dualdistill import cli, faults

WRITE = (
    "import pathlib, sys\n"
    "from dualdistill import faults\n"
    "from dualdistill.store.files import atomic_write\n"
    "faults.check()\n"
    "for number in range(3):\n"
    "    for name in ('run.json', 'table.csv'):\n"
    "        atomic_write(pathlib.Path(sys.argv[1], name), str(number))\n"
)


def write(folder: Path, fault: str, rank: str = "0") -> int:
    """Write two files three times; return the exit code."""
    env = {faults.VARIABLE: fault, "RANK": rank, "PYTHONPATH": ":".join(sys.path)}
    return subprocess.run([sys.executable, "-c", WRITE, str(folder)], env=env, check=False).returncode


@pytest.mark.parametrize(
    ("fault", "content"),
    [("record.start:2", "0"), ("record.written:2", "0"), ("record.synced:3", "1"), ("record.renamed:2", "1")],
)
def test_a_process_ends_at_the_named_visit_of_a_point(tmp_path: Path, fault: str, content: str) -> None:
    assert write(tmp_path, fault) == -signal.SIGKILL
    assert (tmp_path / "run.json").read_text() == content


@pytest.mark.parametrize("fault", ["record.start@1", "record.start:4", "weights.start", ""])
def test_nothing_happens_at_other_ranks_visits_and_points(tmp_path: Path, fault: str) -> None:
    assert write(tmp_path, fault) == 0
    assert (tmp_path / "table.csv").read_text() == "2"


def test_a_rank_and_a_kind_can_be_named(tmp_path: Path) -> None:
    assert write(tmp_path, "record.start@1=stop", rank="1") == -signal.SIGTERM
    assert write(tmp_path, "record.start=full") == 1


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (
            "record.writen",
            "DUALDISTILL_FAULT: unknown fault point 'record.writen' (one of checkpoint.start",
        ),
        ("record.written=explode", "unknown fault 'explode' (one of kill, stop, full)"),
        ("record.written:soon", "'record.written:soon' is no fault (point[@rank][:count][=kind])"),
    ],
)
def test_an_unknown_fault_is_a_sentence(
    fault: str, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(faults.VARIABLE, fault)
    assert cli.main(["resolve"]) == 2
    assert sentence in capsys.readouterr().err
