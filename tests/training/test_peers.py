"""One training on two processes through the command line: stopped, killed, resumed by two or by one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import CompletedProcess

import forked
import pytest
import ranks
import yaml

from dualdistill import faults
from dualdistill.store.files import read_json, sha256_file

Command = Callable[..., CompletedProcess[str]]
PATIENCE_S = 30.0  # within which every process must end after another one died
OUTPUTS = ("model.safetensors", "history.jsonl")


@pytest.fixture(scope="module")
def config(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke profile with half a batch per device, and teachers of six epochs of four steps."""
    shutil.copytree(checkout / "config", folder := tmp_path_factory.mktemp("halves") / "config")
    profile = yaml.safe_load((folder / "profiles" / "smoke.yaml").read_text())
    profile["schedules"]["teacher"] |= {"epochs": 6, "batch_per_device": 1}
    (folder / "profiles" / "smoke.yaml").write_text(yaml.safe_dump(profile, sort_keys=False))
    return folder / "config.yaml"


class Pair:
    """The two processes of a training in a results folder."""

    def __init__(self, checkout: Path, config: Path, results: Path) -> None:
        self.checkout, self.results = checkout, results
        self.words = ("--config", str(config), "--profile", "smoke", "--results", str(results))

    @property
    def folder(self) -> Path:
        (folder,) = (self.results / "runs").glob("centerpoint-*")
        return folder

    def start(self, fault: str = "", count: int = 2, **env: str) -> list[BaseProcess]:
        port = ranks.free_port()
        places = [ranks.environment(rank, count, port) | env for rank in range(count)]
        places = [place | ({faults.VARIABLE: fault} if fault else {}) for place in places]
        return [
            forked.start(
                "dualdistill",
                "train",
                "centerpoint",
                *self.words,
                folder=self.checkout,
                env=place,
                err=str(self.results / f"{place['RANK']}.err"),
            )
            for place in places
        ]

    def train(self, fault: str = "", count: int = 2) -> list[int | None]:
        return self.wait(self.start(fault, count))

    def wait(self, processes: list[BaseProcess]) -> list[int | None]:
        """The exit codes; once one process has ended, the others must soon."""
        while all(process.is_alive() for process in processes):
            time.sleep(0.05)
        deadline = time.monotonic() + PATIENCE_S
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
        hanging = [process for process in processes if process.is_alive()]
        for process in hanging:
            os.killpg(process.pid, signal.SIGKILL)
        assert not hanging
        return [process.exitcode for process in processes]

    def error(self, rank: int) -> str:
        return (self.results / f"{rank}.err").read_text()

    def saved_step(self) -> int:
        return int(read_json(self.folder / "state" / "head.json")["checkpoints"][0]["step"])

    def wait_for_progress(self, processes: list[BaseProcess]) -> None:
        while all(process.is_alive() for process in processes):
            if list((self.results / "runs").glob("*/state/head.json")):
                return
            time.sleep(0.02)
        raise AssertionError(self.error(0))


def copy_of(results: Path, folder: Path) -> Path:
    shutil.copytree(results, folder, ignore=shutil.ignore_patterns("runs"))
    return folder


@pytest.fixture(scope="module")
def whole(
    checkout: Path, command: Command, config: Path, results: Path, tmp_path_factory: pytest.TempPathFactory
) -> Pair:
    """An undisturbed training on two processes."""
    pair = Pair(checkout, config, copy_of(results, tmp_path_factory.mktemp("whole") / "results"))
    assert pair.train() == [0, 0], pair.error(0)
    return pair


@pytest.fixture
def pair(checkout: Path, config: Path, whole: Pair, results: Path, tmp_path: Path) -> Pair:
    return Pair(checkout, config, copy_of(results, tmp_path / "results"))


@pytest.mark.slow
def test_a_pair_that_is_stopped_and_killed_ends_in_the_same_bytes(whole: Pair, pair: Pair) -> None:
    stopped = 128 + signal.SIGTERM
    assert pair.train("backward@1:3=stop") == [stopped, stopped]
    assert pair.saved_step() == 3
    assert pair.train("backward:3=stop") == [stopped, stopped]
    assert pair.saved_step() == 6
    assert pair.train("backward@0:1=stop") == [stopped, stopped]
    assert pair.saved_step() == 7
    # in the middle of a step, and while a checkpoint is saved
    for fault, survivor in (
        ("backward@1:3", 0),
        ("save@1:2", 0),
        ("backward@0:3", 1),
        ("checkpoint.written", 1),
    ):
        codes = pair.train(fault)
        assert codes[survivor] == 8, pair.error(survivor)
        assert codes[1 - survivor] == -signal.SIGKILL
        assert "Traceback" not in pair.error(survivor)
        assert "of this training has ended (the cause is in the output of that process" in pair.error(
            survivor
        )
    assert pair.train() == [0, 0], pair.error(0)
    for name in OUTPUTS:
        assert sha256_file(pair.folder / name) == sha256_file(whole.folder / name)
    assert read_json(pair.folder / "run.json")["devices"] == [
        {"first_step": 1, "devices": 2, "random_state_kept": True}
    ]


@pytest.mark.slow
def test_one_process_goes_on_with_what_two_began(whole: Pair, pair: Pair) -> None:
    pair.train("backward@1:6=stop")
    assert pair.train(count=1) == [0], pair.error(0)
    assert "1 devices go on with what 2 began" in pair.error(0)
    record, expected = (read_json(item.folder / "run.json") for item in (pair, whole))
    assert record["spec_sha"] == expected["spec_sha"]
    assert record["devices"] == [
        {"first_step": 1, "devices": 2, "random_state_kept": True},
        {"first_step": 7, "devices": 1, "random_state_kept": False},
    ]
    lines, same = ((item.folder / "history.jsonl").read_text().splitlines() for item in (pair, whole))
    assert lines[:6] == same[:6]
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 25))


@pytest.mark.slow
def test_a_process_that_falls_silent_does_not_hold_up_the_other(pair: Pair) -> None:
    """As a rank behind a dead network connection, of which nobody is told."""
    processes = pair.start()
    pair.wait_for_progress(processes)
    os.killpg(processes[1].pid, signal.SIGSTOP)
    processes[0].join(PATIENCE_S)
    os.killpg(processes[1].pid, signal.SIGKILL)
    processes[1].join()
    assert processes[0].exitcode == 8, pair.error(0)
    assert "process 1 of this training has ended" in pair.error(0)
    events = [json.loads(line) for line in (pair.folder / "state" / "events.jsonl").read_text().splitlines()]
    assert events[-1]["why"] in pair.error(0)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_a_loader_that_dies_is_a_sentence(count: int, pair: Pair) -> None:
    # the first sample is read by the training itself, the third by a loader
    processes = pair.start(f"load@{count - 1}:3", count=count, DUALDISTILL_LOADERS="1")
    assert pair.wait(processes) == [8, 9][-count:]
    assert "a loader process has died (often for want of memory: lower loaders" in pair.error(count - 1)
    assert "Traceback" not in pair.error(count - 1)
    events = [json.loads(line) for line in (pair.folder / "state" / "events.jsonl").read_text().splitlines()]
    assert "a loader process has died" in events[-1]["why"]
