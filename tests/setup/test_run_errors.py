"""Every failure of ./run ends with a single sentence: what is wrong and what to do."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from clones import PYTHON_STUB, Clone

NOTHING = ("sh", "-c", ":")


def test_without_a_command_it_prints_its_usage(clone: Clone):
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


def test_without_python_it_names_the_package_to_install(bare: Clone):
    done = bare.run(*NOTHING)
    assert done.code == 1
    assert "Python 3.11 or 3.12 is needed, and none was found: install python3.11" in done.sentence


@pytest.mark.parametrize("version", ["3.9.2", "3.10.13", "3.13.0"])
def test_a_python_outside_the_range_is_refused_with_its_version(bare: Clone, version: str):
    bare.tool("python3", PYTHON_STUB)
    done = bare.run(*NOTHING, STUB_VERSION=version)
    assert done.code == 1
    assert f"python3 is {version}" in done.sentence
    assert not (bare.folder / ".venv").exists()


def test_a_missing_python_chosen_by_name_is_not_replaced(clone: Clone):
    done = clone.run(*NOTHING, PYTHON="/nowhere/python3.11")
    assert done.code == 1
    assert "none was found at /nowhere/python3.11" in done.sentence


def test_without_venv_it_names_the_package_to_install(clone: Clone):
    done = clone.run(*NOTHING, STUB_VENV_MISSING="1")
    assert done.code == 1
    assert (
        "lacks the venv module: install it (on Debian and Ubuntu the package python3-venv)" in done.sentence
    )


def test_a_full_disk_is_reported_before_any_download(clone: Clone):
    clone.disk(free_gb=2)
    done = clone.run(*NOTHING)
    assert done.code == 7
    assert "only 2 GB are free" in done.sentence
    assert clone.calls() == 0


def test_a_disk_that_fills_up_during_set_up_is_reported(clone: Clone):
    done = clone.run(
        *NOTHING, STUB_FAIL="--requirement", STUB_WORDS="OSError: [Errno 28] No space left on device"
    )
    assert done.code == 7
    assert "the disk filled up" in done.sentence


def test_any_other_failure_shows_the_end_and_the_path_of_the_log(clone: Clone):
    done = clone.run(*NOTHING, STUB_FAIL="--requirement", STUB_WORDS="a compiler is missing")
    assert done.code == 1
    assert "a compiler is missing" in done.err
    assert str(clone.folder / ".venv" / "setup.log") in done.sentence


def test_an_environment_not_made_by_run_is_kept(clone: Clone):
    (clone.folder / ".venv").mkdir()
    (clone.folder / ".venv" / "precious").touch()
    done = clone.run(*NOTHING)
    assert done.code == 1
    assert "was not made by ./run: move it away" in done.sentence
    assert (clone.folder / ".venv" / "precious").exists()


def test_missing_pins_are_reported(clone: Clone):
    (clone.folder / "constraints.txt").unlink()
    assert "git checkout constraints.txt" in clone.run(*NOTHING).sentence


def test_without_network_the_real_pip_gives_one_sentence(bare: Clone, tmp_path: Path):
    unreachable = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "1",
        "PIP_CONFIG_FILE": os.devnull,
    }
    done = bare.run(*NOTHING, PYTHON=sys.executable, HOME=str(tmp_path), **unreachable)
    assert done.code == 1
    assert "pip could not reach its package index: connect or set a proxy or mirror" in done.sentence
