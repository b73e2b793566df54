"""Checkpoints fall back, start over or are refused, and never run code."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from dualdistill.errors import CheckpointError
from dualdistill.store.files import sha256_file
from dualdistill.training.checkpoint import load_plain, load_state, load_weights, save_state, save_weights


def saved(folder: Path, steps: tuple[int, ...] = (1, 2, 3)) -> Path:
    for step in steps:
        save_state(folder, step, 10, "sha", {"step": step, "weights": torch.full((3,), float(step))})
    return folder


def test_two_checkpoints_are_kept_and_the_newest_is_loaded(tmp_path: Path) -> None:
    saved(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == ["step-00000002.pt", "step-00000003.pt"]
    state = load_state(tmp_path, "sha")
    assert state is not None
    assert state["step"] == 3


@pytest.mark.parametrize("damage", ["truncate", "empty", "flip a bit", "remove"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    newest = saved(tmp_path) / "step-00000003.pt"
    content = bytearray(newest.read_bytes())
    if damage == "truncate":
        newest.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        newest.write_bytes(b"")
    elif damage == "flip a bit":
        content[len(content) // 2] ^= 1
        newest.write_bytes(content)
    else:
        newest.unlink()
    with caplog.at_level(logging.WARNING):
        state = load_state(tmp_path, "sha")
    assert state is not None
    assert state["step"] == 2
    assert "falling back" in caplog.text


def test_without_an_intact_checkpoint_the_run_starts_over_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in saved(tmp_path).glob("*.pt"):
        path.write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert load_state(tmp_path, "sha") is None
    assert "starts over" in caplog.text


@pytest.mark.parametrize("head", ["", '{"checkpoints": [{"name"', '{"spec_sha": "sha", "checkpoints": [3]}'])
def test_a_damaged_head_starts_over(tmp_path: Path, head: str) -> None:
    (saved(tmp_path) / "head.json").write_text(head)
    assert load_state(tmp_path, "sha") is None


def test_state_of_another_spec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="another spec"):
        load_state(saved(tmp_path), "other")


def test_a_head_cannot_point_outside_its_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside.pt"
    torch.save({"step": 99}, outside)
    folder = saved(tmp_path / "state", (1,))
    head = folder / "head.json"
    head.write_text(
        head.read_text()
        .replace("step-00000001.pt", "../outside.pt")
        .replace(sha256_file(folder / "step-00000001.pt"), sha256_file(outside))
    )
    assert load_state(folder, "sha") is None


class Canary:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch canary",)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weights": Canary()}, tmp_path / "teacher.pth")
    with pytest.raises(CheckpointError, match="plain tensors"):
        load_plain(tmp_path / "teacher.pth")
    assert not (tmp_path / "canary").exists()


def test_weights_round_trip_and_every_mismatch_is_refused(tmp_path: Path) -> None:
    source, path = nn.Linear(3, 2), tmp_path / "model.safetensors"
    save_weights(path, source.state_dict())
    target = nn.Linear(3, 2)
    load_weights(path, target, sha256_file(path))
    assert torch.equal(source.weight, target.weight)
    with pytest.raises(CheckpointError, match="2 keys missing, 2 unknown"):
        load_weights(path, nn.Sequential(nn.Linear(3, 2)))
    with pytest.raises(CheckpointError, match="of another shape"):
        load_weights(path, nn.Linear(4, 2))
    with pytest.raises(CheckpointError, match="differ from what"):
        load_weights(path, target, "0" * 64)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_weights(path, target)
