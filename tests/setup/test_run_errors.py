"""What stops ./run ends in one sentence: what is wrong and what to do."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from clones import PYTHON_STUB, Clone

NOTHING = ("sh", "-c", ":")


def test_no_command_shows_how_to_call_it(clone: Clone):
    done = clone.run()
    assert done.code == 2
    assert "usage: ./run COMMAND..." in done.sentence
    assert clone.run("--help").code == 0
    assert clone.calls() == 0


def test_an_unknown_command_is_named(clone: Clone):
    clone.run(*NOTHING)
    done = clone.run("snakemke")
    assert done.code == 127
    assert "'snakemke'" in done.sentence


def test_a_machine_without_python_is_told_what_to_install(bare: Clone):
    done = bare.run(*NOTHING)
    assert done.code == 1
    assert "Python 3.11 or 3.12 is needed, and none was found: install python3.11" in done.sentence


@pytest.mark.parametrize("found", ["3.9.2", "3.10.13", "3.13.0"])
def test_a_python_outside_of_the_range_is_named_with_its_version(bare: Clone, found: str):
    bare.tool("python3", PYTHON_STUB)
    done = bare.run(*NOTHING, STUB_VERSION=found)
    assert done.code == 1
    assert f"python3 is {found}" in done.sentence
    assert not (bare.folder / ".venv").exists()


def test_a_python_asked_for_by_name_is_not_replaced_by_another(clone: Clone):
    done = clone.run(*NOTHING, PYTHON="/nowhere/python3.11")
    assert done.code == 1
    assert "none was found at /nowhere/python3.11" in done.sentence


def test_a_python_without_venv_is_told_which_package_brings_it(clone: Clone):
    done = clone.run(*NOTHING, STUB_VENV_MISSING="1")
    assert done.code == 1
    assert (
        "lacks the venv module: install it (on Debian and Ubuntu the package python3-venv)" in done.sentence
    )


def test_a_full_disk_is_told_before_anything_is_fetched(clone: Clone):
    clone.disk(free_gb=2)
    done = clone.run(*NOTHING)
    assert done.code == 7
    assert "only 2 GB are free" in done.sentence
    assert clone.calls() == 0


def test_a_disk_that_fills_up_on_the_way_is_told(clone: Clone):
    done = clone.run(
        *NOTHING, STUB_FAIL="--requirement", STUB_WORDS="OSError: [Errno 28] No space left on device"
    )
    assert done.code == 7
    assert "the disk filled up" in done.sentence


def test_any_other_failure_shows_the_end_of_the_log_and_where_it_lies(clone: Clone):
    done = clone.run(*NOTHING, STUB_FAIL="--requirement", STUB_WORDS="the hamster left")
    assert done.code == 1
    assert "the hamster left" in done.err
    assert str(clone.folder / ".venv" / "setup.log") in done.sentence


def test_an_environment_of_somebody_else_is_left_alone(clone: Clone):
    (clone.folder / ".venv").mkdir()
    (clone.folder / ".venv" / "precious").touch()
    done = clone.run(*NOTHING)
    assert done.code == 1
    assert "was not made by ./run: move it away" in done.sentence
    assert (clone.folder / ".venv" / "precious").exists()


def test_missing_pins_are_told(clone: Clone):
    (clone.folder / "constraints.txt").unlink()
    assert "git checkout constraints.txt" in clone.run(*NOTHING).sentence


def test_without_network_the_real_pip_ends_in_a_sentence(bare: Clone, tmp_path: Path):
    unreachable = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "1",
        "PIP_CONFIG_FILE": os.devnull,
    }
    done = bare.run(*NOTHING, PYTHON=sys.executable, HOME=str(tmp_path), **unreachable)
    assert done.code == 1
    assert "pip could not reach its package index: connect or set a proxy or mirror" in done.sentence
