"""./run sets up the environment once, then starts commands at once, and repairs an interrupted set-up."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from clones import PYTHON_STUB, Clone


def test_a_new_clone_is_set_up_before_the_command_runs(clone: Clone):
    done = clone.run("sh", "-c", 'echo "$VIRTUAL_ENV|${PATH%%:*}"')
    venv = clone.folder / ".venv"
    assert done.code == 0, done.err
    assert done.out == f"{venv}|{venv}/bin\n"
    assert clone.calls("venv") == 1


def test_progress_names_each_step_and_its_duration(clone: Clone):
    err = clone.run("sh", "-c", ":").err
    for step in ("[1/3] torch", "[2/3] the other packages", "[3/3] this project"):
        assert step in err
    assert err.count("minute") >= 3
    assert "pip " not in err, "the output of pip belongs in the log"


def test_only_torch_is_installed_with_dependencies(clone: Clone):
    clone.run("sh", "-c", ":")
    calls = (clone.record / "calls").read_text().splitlines()
    torch, rest, project = [line for line in calls if line.startswith("pip ")]
    assert "--constraint" in torch
    assert torch.endswith(" torch setuptools")
    assert "--no-deps --no-build-isolation --requirement" in rest
    assert "--no-deps --no-build-isolation --editable" in project


def test_a_second_call_starts_at_once_without_python_or_pip(clone: Clone):
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


def test_arguments_exit_code_and_working_folder_are_passed_through(clone: Clone, tmp_path: Path):
    clone.run("sh", "-c", ":")
    script = 'pwd; for argument in "$@"; do echo "<$argument>"; done; exit 7'
    done = clone.run("sh", "-c", script, "sh", "two words", "*", "", "$HOME", cwd=tmp_path)
    assert done.code == 7
    assert done.out.splitlines() == [str(tmp_path), "<two words>", "<*>", "<>", "<$HOME>"]


def test_changed_pins_rebuild_the_environment(clone: Clone):
    clone.run("sh", "-c", ":")
    with (clone.folder / "constraints.txt").open("a") as pins:
        pins.write("one-more==1.0\n")
    (clone.folder / ".venv" / "left-over").touch()
    assert clone.run("sh", "-c", ":").code == 0
    assert clone.calls("venv") == 2
    assert not (clone.folder / ".venv" / "left-over").exists()


def test_a_moved_checkout_rebuilds_the_environment(clone: Clone, tmp_path: Path):
    clone.run("sh", "-c", ":")
    clone.folder = clone.folder.rename(tmp_path / "elsewhere")
    assert clone.run("sh", "-c", ":").code == 0
    assert clone.calls("venv") == 2


def test_a_python_chosen_by_name_is_used_and_kept(clone: Clone):
    clone.run("sh", "-c", ":")
    clone.tool("other", PYTHON_STUB.replace("STUB_VERSION:-3.11.7", "STUB_VERSION:-3.12.1"))
    assert "with Python 3.12.1" in clone.run("sh", "-c", ":", PYTHON="other").err
    assert clone.run("sh", "-c", ":", PYTHON="other").err == ""
    assert clone.run("sh", "-c", ":").err == ""


def test_a_missing_interpreter_rebuilds_the_environment(clone: Clone):
    clone.run("sh", "-c", ":")
    (clone.folder / ".venv" / "bin" / "python").unlink()
    assert clone.run("sh", "-c", ":").code == 0
    assert clone.calls("venv") == 2


def test_the_next_call_repairs_a_killed_set_up(clone: Clone):
    process = clone.start("sh", "-c", ":", STUB_SLOW="--requirement", STUB_SECONDS="60")
    clone.wait_until_slow()
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(timeout=20) == -signal.SIGKILL
    process.communicate()
    assert not (clone.folder / ".venv" / "complete").exists()
    done = clone.run("sh", "-c", "echo repaired")
    assert (done.code, done.out) == (0, "repaired\n")
    assert clone.calls("venv") == 2
    assert [path.name for path in clone.folder.glob(".venv*")] == [".venv"]


def test_ctrl_c_ends_the_set_up_with_a_sentence(clone: Clone):
    process = clone.start("sh", "-c", ":", STUB_SLOW="--requirement", STUB_SECONDS="60")
    clone.wait_until_slow()
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.strip().splitlines()[-1] == "run: interrupted; call ./run again to finish the set-up"


def test_two_calls_at_once_set_up_only_once(clone: Clone):
    first = clone.start("sh", "-c", "echo first", STUB_SLOW="--requirement", STUB_SECONDS="1")
    clone.wait_until_slow()
    second = clone.run("sh", "-c", "echo second")
    out, _ = first.communicate(timeout=20)
    assert (first.returncode, out) == (0, "first\n")
    assert (second.code, second.out) == (0, "second\n")
    assert "waiting for it" in second.err
    assert clone.calls("venv") == 1


def test_the_command_does_not_hold_the_set_up_lock(clone: Clone):
    process = clone.start("sh", "-c", "echo started; sleep 30")
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    (clone.folder / ".venv" / "complete").unlink()
    done = clone.run("sh", "-c", ":")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert done.code == 0
    assert "waiting" not in done.err
