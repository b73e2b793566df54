"""What ./run promises: it sets up once, is out of the way afterwards, and heals what was interrupted."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from clones import PYTHON_STUB, Clone


def test_a_bare_clone_is_set_up_and_then_the_command_runs_in_it(clone: Clone):
    done = clone.run("sh", "-c", 'echo "$VIRTUAL_ENV|${PATH%%:*}"')
    venv = clone.folder / ".venv"
    assert done.code == 0, done.err
    assert done.out == f"{venv}|{venv}/bin\n"
    assert clone.calls("venv") == 1


def test_progress_says_what_is_done_and_how_long_it_takes(clone: Clone):
    err = clone.run("sh", "-c", ":").err
    for step in ("[1/3] torch", "[2/3] the other packages", "[3/3] this project"):
        assert step in err
    assert err.count("minute") >= 3
    assert "pip " not in err, "what pip says belongs into the log"


def test_torch_comes_with_what_it_needs_and_all_else_without(clone: Clone):
    clone.run("sh", "-c", ":")
    calls = (clone.record / "calls").read_text().splitlines()
    torch, rest, project = [line for line in calls if line.startswith("pip ")]
    assert "--constraint" in torch
    assert torch.endswith(" torch setuptools")
    assert "--no-deps --no-build-isolation --requirement" in rest
    assert "--no-deps --no-build-isolation --editable" in project


def test_a_second_call_starts_at_once_and_calls_neither_python_nor_pip(clone: Clone):
    clone.run("sh", "-c", ":")
    before = clone.calls()
    clone.tool("python3.11", '#!/bin/sh\necho python >>"$RECORD/calls"\n')
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        done = clone.run("sh", "-c", ":")
        seconds.append(time.monotonic() - began)
        assert (done.code, done.err) == (0, "")
    assert min(seconds) < 0.5
    assert clone.calls() == before


def test_arguments_exit_code_and_folder_of_the_call_are_passed_through(clone: Clone, tmp_path: Path):
    clone.run("sh", "-c", ":")
    script = 'pwd; for argument in "$@"; do echo "<$argument>"; done; exit 7'
    done = clone.run("sh", "-c", script, "sh", "two words", "*", "", "$HOME", cwd=tmp_path)
    assert done.code == 7
    assert done.out.splitlines() == [str(tmp_path), "<two words>", "<*>", "<>", "<$HOME>"]


def test_changed_pins_make_the_environment_again(clone: Clone):
    clone.run("sh", "-c", ":")
    with (clone.folder / "constraints.txt").open("a") as pins:
        pins.write("one-more==1.0\n")
    (clone.folder / ".venv" / "left-over").touch()
    assert clone.run("sh", "-c", ":").code == 0
    assert clone.calls("venv") == 2
    assert not (clone.folder / ".venv" / "left-over").exists()


def test_a_moved_checkout_makes_the_environment_again(clone: Clone, tmp_path: Path):
    clone.run("sh", "-c", ":")
    clone.folder = clone.folder.rename(tmp_path / "elsewhere")
    assert clone.run("sh", "-c", ":").code == 0
    assert clone.calls("venv") == 2


def test_another_python_is_taken_when_asked_for_and_then_kept(clone: Clone):
    clone.run("sh", "-c", ":")
    clone.tool("other", PYTHON_STUB.replace("STUB_VERSION:-3.11.7", "STUB_VERSION:-3.12.1"))
    assert "with Python 3.12.1" in clone.run("sh", "-c", ":", PYTHON="other").err
    assert clone.run("sh", "-c", ":", PYTHON="other").err == ""
    assert clone.run("sh", "-c", ":").err == ""


def test_a_lost_interpreter_makes_the_environment_again(clone: Clone):
    clone.run("sh", "-c", ":")
    (clone.folder / ".venv" / "bin" / "python").unlink()
    assert clone.run("sh", "-c", ":").code == 0
    assert clone.calls("venv") == 2


def test_a_set_up_that_was_killed_is_healed_by_the_next_call(clone: Clone):
    process = clone.start("sh", "-c", ":", STUB_SLOW="--requirement", STUB_SECONDS="60")
    clone.wait_until_slow()
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(timeout=20) == -signal.SIGKILL
    process.communicate()
    assert not (clone.folder / ".venv" / "complete").exists()
    done = clone.run("sh", "-c", "echo healed")
    assert (done.code, done.out) == (0, "healed\n")
    assert clone.calls("venv") == 2
    assert [path.name for path in clone.folder.glob(".venv*")] == [".venv"]


def test_ctrl_c_ends_the_set_up_with_a_sentence(clone: Clone):
    process = clone.start("sh", "-c", ":", STUB_SLOW="--requirement", STUB_SECONDS="60")
    clone.wait_until_slow()
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.strip().splitlines()[-1] == "run: interrupted; call ./run again to finish the set-up"


def test_of_two_calls_at_once_one_sets_up_and_the_other_waits(clone: Clone):
    first = clone.start("sh", "-c", "echo first", STUB_SLOW="--requirement", STUB_SECONDS="1")
    clone.wait_until_slow()
    second = clone.run("sh", "-c", "echo second")
    out, _ = first.communicate(timeout=20)
    assert (first.returncode, out) == (0, "first\n")
    assert (second.code, second.out) == (0, "second\n")
    assert "waiting for it" in second.err
    assert clone.calls("venv") == 1


def test_the_command_does_not_hold_the_lock_of_the_set_up(clone: Clone):
    process = clone.start("sh", "-c", "echo started; sleep 30")
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    (clone.folder / ".venv" / "complete").unlink()
    done = clone.run("sh", "-c", ":")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert done.code == 0
    assert "waiting" not in done.err
