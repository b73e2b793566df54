"""A tiny world, built by the commands that a user types and shared by the training tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import forked
import pytest

Command = Callable[..., CompletedProcess[str]]
forked.load_beforehand("lightning_fabric", "dualdistill.models", "nuscenes.eval.detection.evaluate")


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="session")
def command(checkout: Path, results: Path) -> Command:
    """`python -m dualdistill ...` on the smoke profile, with the results in a folder of the test session."""

    def call(
        *words: str, folder: Path = results, check: bool = True, env: dict[str, str] | None = None
    ) -> CompletedProcess[str]:
        where = ("--profile", "smoke", "--results", str(folder))
        done = forked.run("dualdistill", *words, *where, folder=checkout, env=env)
        if check:
            assert done.returncode == 0, done.stderr
        return done

    for stage in ("world", "index", "cache"):
        call(stage)
    return call


@pytest.fixture(scope="session")
def runs(command: Command) -> dict[str, str]:
    """Row to run id, as `resolve` prints them; runs without a row by the part of their id before the seed."""
    lines = [line.split() for line in command("resolve").stdout.splitlines()]
    return {row: run for run, *rows in lines for row in rows or [run.partition("-s0-")[0]]}


@pytest.fixture(scope="session")
def trained(command: Command, runs: dict[str, str], results: Path) -> dict[str, Path]:
    """Row to run folder, each trained without interruption after the runs that it builds on."""
    teachers = ("centerpoint", "pretrain-r50", "labels-centerpoint")
    students = ("bevdepth-r50", "dualdistill-r50-centerpoint", "labeldistill-r50-centerpoint")
    folders = {}
    for variant in teachers + students:
        command("train", runs[variant])
        folders[variant] = results / "runs" / runs[variant]
    return folders


@pytest.fixture
def copy_of_results(trained: dict[str, Path], results: Path, tmp_path: Path) -> Path:
    """A copy of the results without the students, for a test that damages something and trains again."""
    copy = tmp_path / "results"
    shutil.copytree(results, copy, ignore=shutil.ignore_patterns("dualdistill-*", "bevdepth-*"))
    return copy
