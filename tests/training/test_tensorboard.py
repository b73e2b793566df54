"""Event files for TensorBoard: what it would show, read back from the files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import forked
import pytest

from dualdistill.errors import UserError
from dualdistill.store.files import sha256_file
from dualdistill.training.tensorboard import EventFiles

Command = Callable[..., CompletedProcess[str]]


def read_events(file: Path) -> Iterator[Any]:
    """The records of a file: length, checksum, content, checksum."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    content = file.read_bytes()
    while len(content) >= 12:
        (length,) = struct.unpack("<Q", content[:8])
        yield event_pb2.Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]


def scalars(folder: Path) -> dict[str, dict[int, list[float]]]:
    """Values by name and step; as in TensorBoard, a session that starts drops the steps from its first on."""
    shown: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for file in sorted(folder.iterdir(), key=lambda path: path.stat().st_ctime_ns):
        for event in read_events(file):
            if event.HasField("session_log"):
                for values in shown.values():
                    for step in [step for step in values if step >= event.step]:
                        del values[step]
            for value in event.summary.value:
                shown[value.tag][event.step].append(value.simple_value)
    return shown


def row(step: int, loss: float) -> dict[str, float]:
    return {"step": step, "lr": 1e-3, "grad_norm": 2.0, "task": loss, "mfd": 0.5}


def test_steps_that_are_trained_again_are_shown_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboardX")
    for first, loss in ((0, 1.0), (3, 4.0)):
        events = EventFiles(tmp_path, first)
        for step in range(first + 1, 6):
            events.write(row(step, loss))
        events.flush()
        events.writer.close()
        monkeypatch.setattr(os, "getpid", lambda: 1)  # the next one is another process
    shown = scalars(tmp_path / "tensorboard")
    assert shown["loss"] == {1: [1.5], 2: [1.5], 3: [1.5], 4: [4.5], 5: [4.5]}
    assert shown.keys() == {"loss", "lr", "grad_norm", "losses/task", "losses/mfd"}


def test_without_the_package_a_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tensorboardX", "tensorboardX.event_file_writer", "tensorboardX.proto.event_pb2"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"needs the package tensorboardX \(pip install tensorboardX"):
        EventFiles(tmp_path, 0)


@pytest.mark.slow
def test_a_training_with_event_files_ends_in_the_same_bytes_after_a_kill(
    checkout: Path, command: Command, runs: dict[str, str], results: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboardX")
    run = runs["pretrain-r50"]
    command("train", run)
    copy = tmp_path / "results"
    shutil.copytree(results, copy, ignore=shutil.ignore_patterns("runs"))
    folder, words = copy / "runs" / run, ("train", run, "--set", "tensorboard=true")
    where = ("--profile", "smoke", "--results", str(copy))
    process = forked.start("dualdistill", *words, *where, folder=checkout)
    while process.is_alive() and not (folder / "state" / "head.json").exists():
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    command(*words, folder=copy)
    for name in ("model.safetensors", "history.jsonl"):
        assert sha256_file(folder / name) == sha256_file(results / "runs" / run / name)
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    shown = scalars(folder / "tensorboard")
    for name in ("lr", "grad_norm"):
        assert shown[name] == {line["step"]: [pytest.approx(line[name])] for line in history}
    losses = history[0].keys() - {"step", "lr", "grad_norm"}
    assert losses == {name.removeprefix("losses/") for name in shown if name.startswith("losses/")}
