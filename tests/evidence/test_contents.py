"""Packed files come back without loss."""

from __future__ import annotations

import zlib
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from finished_runs import history, random_matches

from dualdistill.errors import DataError
from dualdistill.evaluation.matching import Matches
from dualdistill.evidence import contents, planes
from dualdistill.store.bundle import Member


def restored(path: Path) -> tuple[bytes, bytes]:
    """A file as it comes back from its member, and the member."""
    member, content = contents.packed(path)
    return contents.unpacked(path.name, member, content), content


@pytest.mark.parametrize("boxes", [0, 1, 40])
def test_every_column_of_matches_comes_back_with_its_type(tmp_path: Path, boxes: int) -> None:
    matches = random_matches(seed=1, boxes=boxes)
    matches.save(tmp_path / "matches.npz")
    again, _ = restored(tmp_path / "matches.npz")
    (tmp_path / "again.npz").write_bytes(again)
    loaded = Matches.load(tmp_path / "again.npz")
    assert loaded.sha == matches.sha
    for item in fields(matches):
        before, after = getattr(matches, item.name), getattr(loaded, item.name)
        assert (before.dtype, before.shape, before.tobytes()) == (after.dtype, after.shape, after.tobytes())


def test_scores_that_are_no_float32_numbers_come_back_too(tmp_path: Path) -> None:
    matches = random_matches(seed=2)
    matches = replace(matches, score=np.nextafter(matches.score, 1))
    matches.save(tmp_path / "matches.npz")
    restored(tmp_path / "matches.npz")
    exact = planes.decode(planes.encode({"score": matches.score}))["score"]
    assert exact.tobytes() == matches.score.tobytes()


def test_matches_of_a_long_split_take_two_thirds_of_their_file(tmp_path: Path) -> None:
    """About 4 bytes a box and 28 a matched pair."""
    matches = random_matches(seed=3, boxes=5000)
    matches.save(tmp_path / "matches.npz")
    _, content = restored(tmp_path / "matches.npz")
    assert len(zlib.compress(content, 9)) < 0.8 * (tmp_path / "matches.npz").stat().st_size


def test_a_history_comes_back_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text(history(steps=100))
    again, content = restored(tmp_path / "history.jsonl")
    assert again == (tmp_path / "history.jsonl").read_bytes()
    assert content != again


@pytest.mark.parametrize("text", ["", '{"step": 1, "note": "words"}\n', '{"step":1}\n'])
def test_a_history_that_is_no_table_of_numbers_is_packed_as_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / "history.jsonl").write_text(text)
    again, _ = restored(tmp_path / "history.jsonl")
    assert again == text.encode()


def test_columns_that_are_cut_off_are_refused() -> None:
    content = planes.encode({"step": np.arange(5)})
    with pytest.raises(DataError, match=r"history\.jsonl in it cannot be decoded"):
        contents.unpacked("history.jsonl", Member("", "x"), content[:-1])
    with pytest.raises(DataError, match="does not come back as it was packed"):
        contents.unpacked("history.jsonl", Member("", "x"), content)
