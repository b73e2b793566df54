"""The history is cut back to the checkpoint, and a checkpoint that it does not reach is not used."""

from __future__ import annotations

import json
import logging
from functools import partial
from pathlib import Path

import pytest

from dualdistill.errors import CheckpointError
from dualdistill.training.checkpoint import load_state, save_state
from dualdistill.training.history import FILE, History, reaches


def train(folder: Path, first: int, last: int, end: dict | None = None) -> History:
    """Write a line and a checkpoint for every step."""
    history = History(folder, end)
    for step in range(first, last + 1):
        history.append({"step": step, "loss": 1 / step})
        save_state(folder, step, 9, "sha", {"step": step, "history": history.end()})
    return history


def load(folder: Path) -> dict:
    state = load_state(folder, "sha", partial(reaches, folder))
    assert state is not None
    return state


def steps(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / FILE).read_text().splitlines()]


@pytest.mark.parametrize("rest", ['{"step": 4}\n{"step": 5}\n', '{"step": 4, "lo', "\0" * 40])
def test_what_follows_the_checkpoint_is_cut_off(tmp_path: Path, rest: str) -> None:
    train(tmp_path, 1, 3)
    whole = (tmp_path / FILE).read_bytes()
    with (tmp_path / FILE).open("a") as stream:
        stream.write(rest)
    train(tmp_path, 4, 4, load(tmp_path)["history"])
    assert steps(tmp_path) == [1, 2, 3, 4]
    assert (tmp_path / FILE).read_bytes().startswith(whole)
    assert load(tmp_path)["step"] == 4


@pytest.mark.parametrize("damage", ["short", "changed"])
def test_a_checkpoint_beyond_the_history_falls_back_to_the_one_before(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    train(tmp_path, 1, 3)
    lines = (tmp_path / FILE).read_text().splitlines(keepends=True)
    last = lines[2][:5] if damage == "short" else lines[2].replace("3", "8")
    (tmp_path / FILE).write_text("".join(lines[:2]) + last)
    with caplog.at_level(logging.WARNING):
        state = load(tmp_path)
    assert state["step"] == 2
    assert "the history does not reach" in caplog.text
    train(tmp_path, 3, 3, state["history"])
    assert (tmp_path / FILE).read_text() == "".join(lines)


def test_without_its_history_a_run_starts_over_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(tmp_path, 1, 3)
    (tmp_path / FILE).unlink()
    with caplog.at_level(logging.WARNING):
        assert load_state(tmp_path, "sha", partial(reaches, tmp_path)) is None
    assert "starts over" in caplog.text


def test_a_checkpoint_of_the_earlier_format_is_refused_in_a_sentence(tmp_path: Path) -> None:
    save_state(tmp_path, 1, 9, "sha", {"step": 1, "history": [{"step": 1}]})
    with pytest.raises(CheckpointError, match="an earlier version of this suite wrote the checkpoint"):
        load(tmp_path)


def test_a_checkpoint_does_not_grow_with_the_steps(tmp_path: Path) -> None:
    end = train(tmp_path, 1, 2).end()
    early = (tmp_path / "step-00000002.pt").stat().st_size
    train(tmp_path, 3, 30, end)
    late = (tmp_path / "step-00000030.pt").stat().st_size
    assert late - early < 64 < (tmp_path / FILE).stat().st_size  # the alignment within the file


def test_a_history_is_copied_whole(tmp_path: Path) -> None:
    train(tmp_path / "state", 1, 2).copy(tmp_path / FILE)
    assert steps(tmp_path) == [1, 2]
    History(tmp_path / "none").copy(tmp_path / FILE)
    assert (tmp_path / FILE).read_text() == ""
