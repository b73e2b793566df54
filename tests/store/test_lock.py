"""A run has one holder, and to ask whether it has one disturbs nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from dualdistill.errors import BusyError
from dualdistill.store.lock import is_held, run_lock

ASK = """
import pathlib, sys
from dualdistill.store.lock import is_held
answers = set()
print("asking", flush=True)
while not answers >= {False, True} or not pathlib.Path(sys.argv[2]).exists():
    answers.add(is_held(pathlib.Path(sys.argv[1])))
print(sorted(answers))
"""
DIE_HOLDING = """
import os, pathlib, signal, sys
from dualdistill.store.lock import run_lock
with run_lock(pathlib.Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_second_holder_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    refused = pytest.raises(BusyError, match=rf"the run is held by pid {os.getpid()} on \S+ since \d{{4}}-")
    with run_lock(tmp_path), refused, run_lock(tmp_path):
        pass


def test_the_lock_ends_with_the_process(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", DIE_HOLDING, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert is_held(tmp_path) is False
    with run_lock(tmp_path):
        assert str(os.getpid()) in (tmp_path / "lock").read_text()


def test_asking_makes_no_lock_and_leaves_the_name_of_the_holder(tmp_path: Path) -> None:
    assert is_held(tmp_path) is False
    assert list(tmp_path.iterdir()) == []
    with run_lock(tmp_path):
        assert is_held(tmp_path) is True
        assert str(os.getpid()) in (tmp_path / "lock").read_text()
    assert is_held(tmp_path) is False


def test_a_training_that_starts_while_status_asks_is_not_refused(tmp_path: Path) -> None:
    """A process asks without a pause while this one takes the lock again and again."""
    state, enough = tmp_path / "state", tmp_path / "enough"
    line = [sys.executable, "-c", ASK, str(state), str(enough)]
    with run_lock(state):
        pass
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as asking, ExitStack() as stack:
        stack.callback(asking.kill)
        assert asking.stdout.readline() == "asking\n"
        for _ in range(300):
            with run_lock(state):
                pass
        enough.touch()
        with run_lock(state):
            answers, _ = asking.communicate(timeout=60)
    assert answers == "[False, True]\n"
