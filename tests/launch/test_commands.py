"""Trainings and predictions on two processes, by the commands that a user types."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import CompletedProcess

import forked
import psutil
import pytest

from dualdistill.store.lock import is_held
from dualdistill.store.progress import read

Options = Callable[..., tuple[str, ...]]
RUN = "centerpoint"


class Training:
    """The training of a teacher on two processes, started again and again."""

    def __init__(self, checkout: Path, options: Options, log: Path) -> None:
        self.checkout, self.options, self.log = checkout, options, log
        words = ("resolve", *options())
        listed = forked.run("dualdistill", *words, folder=checkout).stdout
        results = Path(options()[3])
        self.folder = results / "runs" / re.search(rf"^(\S+)  {RUN}$", listed, re.MULTILINE)[1]

    @property
    def saved(self) -> int:
        """The step of the last checkpoint."""
        head = self.folder / "state" / "head.json"
        return json.loads(head.read_text())["checkpoints"][0]["step"] if head.exists() else 0

    def start(self) -> tuple[BaseProcess, list[psutil.Process]]:
        """Start it and wait until it has saved a new checkpoint; return the launcher and the ranks."""
        before, options = self.saved, self.options(teacher=2)
        process = forked.start("dualdistill", "train", RUN, *options, folder=self.checkout, err=str(self.log))
        while self.saved <= before:
            assert process.is_alive(), self.log.read_text()
            time.sleep(0.05)
        ranks = psutil.Process(process.pid).children()
        return process, sorted(ranks, key=lambda rank: rank.environ()["RANK"])

    def status(self) -> str:
        return forked.run("dualdistill", "status", *self.options(), folder=self.checkout).stdout


@pytest.mark.slow
def test_one_process_finishes_what_two_began_and_left_in_every_way(
    small: Options, checkout: Path, tmp_path: Path
) -> None:
    training = Training(checkout, small, tmp_path / "log")
    launcher, ranks = training.start()
    second = forked.run("dualdistill", "train", RUN, *small(teacher=2), folder=checkout)
    assert (second.returncode, f"the run is held by pid {ranks[0].pid} on" in second.stderr) == (6, True)
    began = time.monotonic()
    ranks[1].kill()
    launcher.join(30)
    assert (launcher.exitcode, time.monotonic() - began < 30) == (137, True)
    sentence = f"rank 1 of 2 died of signal 9 (Killed) (the same command goes on; see {training.log})"
    assert training.log.read_text().splitlines()[-1] == sentence
    assert "Traceback" not in training.log.read_text()
    assert not ranks[0].is_running()
    assert f"failed: {sentence}" in training.status()

    launcher, ranks = training.start()
    last = read(training.folder / "state").done
    launcher.terminate()
    launcher.join(60)
    assert launcher.exitcode == 128 + signal.SIGTERM
    assert training.saved >= last
    assert "Traceback" not in training.log.read_text()

    launcher, ranks = training.start()
    launcher.kill()
    _, alive = psutil.wait_procs(ranks, timeout=10)
    assert alive == []
    assert is_held(training.folder / "state") is False

    done = forked.run("dualdistill", "train", RUN, *small(), folder=checkout)
    assert done.returncode == 0, done.stderr
    history = (training.folder / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in history] == list(range(1, len(history) + 1))


@pytest.mark.slow
def test_two_processes_predict_the_bytes_of_one(small: Options, checkout: Path, tmp_path: Path) -> None:
    """Three batches, of which the first process predicts two; the processes may be those of torchrun."""

    def call(*words: str, **devices: int) -> CompletedProcess[str]:
        return forked.run("dualdistill", *words, "untrained", *small(**devices), folder=checkout)

    assert call("train").returncode == 0
    assert call("predict").returncode == 0
    (results,) = Path(small()[3]).glob("runs/*/results_nusc.json")
    alone = results.read_bytes()
    results.unlink()

    # a scene is a batch, and the second batch is the second process's
    cloud = min(Path(small()[3]).glob("data/*/root/samples/LIDAR_TOP/world-val-0001*"))
    cloud.rename(tmp_path / cloud.name)
    broken = call("predict", predict=2)
    assert (broken.returncode, broken.stderr.count(str(cloud))) == (3, 1), broken.stderr
    assert not results.exists()

    (tmp_path / cloud.name).rename(cloud)
    done = call("predict", predict=2)
    assert done.returncode == 0, done.stderr
    assert results.read_bytes() == alone
    progress = read(results.parent / "state")
    assert (progress.stage, progress.done, progress.total) == ("samples predicted", 12, 12)

    results.unlink()
    torchrun = (
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "dualdistill",
        "predict",
        "untrained",
        *small(),
    )
    done = forked.run("torch.distributed.run", *torchrun, folder=checkout)
    assert done.returncode == 0, done.stderr
    assert results.read_bytes() == alone
