"""Ranks start together, stop together, and none outlives the launcher or a failed rank."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TEAM = Path(__file__).with_name("team.py")


def start(folder: Path, behaviour: str) -> subprocess.Popen[str]:
    line = [sys.executable, str(TEAM), str(folder), behaviour]
    return subprocess.Popen(line, stderr=subprocess.PIPE, text=True, start_new_session=True)


def run(folder: Path, behaviour: str) -> tuple[int, str]:
    job = start(folder, behaviour)
    _, written = job.communicate(timeout=60)
    return job.returncode, written


def wait_for_ranks(folder: Path) -> list[int]:
    """Block until both ranks work; return their process ids."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = [(folder / f"pid-{rank}") for rank in (0, 1)]
        if all(path.exists() and path.read_text() for path in found):
            return [int(path.read_text()) for path in found]
        time.sleep(0.02)
    raise AssertionError("the ranks did not start")


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie, which a test machine may fail to collect, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_every_rank_does_its_part(tmp_path: Path) -> None:
    assert run(tmp_path, "finish") == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["done-0-of-2", "done-1-of-2"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_launcher_stops_all_after_the_checkpoint(
    tmp_path: Path, number: signal.Signals
) -> None:
    job = start(tmp_path, "train")
    wait_for_ranks(tmp_path)
    job.send_signal(number)
    assert (job.communicate(timeout=60)[1], job.returncode) == ("", 128 + number)
    assert (tmp_path / "checkpoint").exists()


def test_a_signal_to_all_stops_all_after_the_checkpoint(tmp_path: Path) -> None:
    job = start(tmp_path, "train")
    pids = wait_for_ranks(tmp_path)
    for pid in (job.pid, *pids):
        os.kill(pid, signal.SIGTERM)
    assert (job.communicate(timeout=60)[1], job.returncode) == ("", 143)
    assert (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_rank_stops_all_after_the_checkpoint(tmp_path: Path, rank: int) -> None:
    job = start(tmp_path, "train")
    os.kill(wait_for_ranks(tmp_path)[rank], signal.SIGTERM)
    assert (job.communicate(timeout=60)[1], job.returncode) == ("", 143)
    assert (tmp_path / "checkpoint").exists()


def test_a_signal_before_all_ranks_can_answer_it_ends_them(tmp_path: Path) -> None:
    job = start(tmp_path, "start_up")
    pids = wait_for_ranks(tmp_path)
    job.terminate()
    assert (job.communicate(timeout=60)[1], job.returncode) == ("", 143)
    assert not is_alive(pids[0])


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_ends_the_other_with_one_sentence(tmp_path: Path, rank: int) -> None:
    job = start(tmp_path, "wait_forever")
    pids = wait_for_ranks(tmp_path)
    os.kill(pids[rank], signal.SIGKILL)
    _, written = job.communicate(timeout=30)
    sentence = f"rank {rank} of 2 died of signal 9 (Killed) (the same command goes on)\n"
    assert (job.returncode, written) == (137, sentence)
    assert not is_alive(pids[1 - rank])


def test_ranks_die_with_a_killed_launcher(tmp_path: Path) -> None:
    job = start(tmp_path, "wait_forever")
    pids = wait_for_ranks(tmp_path)
    job.kill()
    job.wait()
    deadline = time.monotonic() + 5
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_sentence_of_an_error_in_every_rank_is_shown_once(tmp_path: Path) -> None:
    assert run(tmp_path, "refuse") == (3, "index.npz: the index is missing\n")


def test_of_several_failures_the_cause_is_shown(tmp_path: Path) -> None:
    code, written = run(tmp_path, "break_off")
    first, *_, last = written.splitlines()
    assert (code, first) == (1, "Traceback (most recent call last):")
    assert last == "rank 1 of 2 ended with ValueError: the cause (the same command goes on)"
    assert "connection closed" not in written


def test_the_sentence_names_the_log(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    with log.open("w") as stream:
        line = [sys.executable, str(TEAM), str(tmp_path), "wait_forever"]
        with subprocess.Popen(line, stderr=stream, start_new_session=True) as job:
            os.kill(wait_for_ranks(tmp_path)[1], signal.SIGKILL)
    assert job.returncode == 137
    assert log.read_text().endswith(f"(the same command goes on; see {log})\n")
