"""Progress of long jobs: lines at intervals, and a file that tells what is left."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from dualdistill.store import progress
from dualdistill.store.progress import Progress, clock, read, track


def test_items_pass_and_the_end_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert list(track("abcde", 10, "samples predicted", folder=tmp_path, each=2)) == list("abcde")
    (line,) = caplog.messages  # none in between: it took less than EVERY_S
    assert line.startswith("10/10 samples predicted  0.00 s each  eta 0:00")
    left = read(tmp_path)
    assert left is not None
    assert (left.stage, left.done, left.total) == ("samples predicted", 10, 10)


def test_lines_come_at_intervals_of_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 4.0, 8.0, 12.0, 16.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    seen = []
    with caplog.at_level(logging.INFO):
        for _ in track(range(4), 4, "scenes rendered", folder=tmp_path):
            seen.append(read(tmp_path))
    assert caplog.messages == [
        "3/4 scenes rendered  4.00 s each  eta 0:04",
        "4/4 scenes rendered  4.00 s each  eta 0:00",
    ]
    assert [(one.done, one.seconds_each) for one in seen if one] == [(0, None)] * 3 + [(3, 4.0)]


def test_the_time_left_runs_down_between_two_files() -> None:
    assert Progress("train", 0, 10, None).seconds_left() is None
    assert Progress("train", 8, 10, 60.0, time=time.time() - 30).seconds_left() == pytest.approx(90, abs=1)
    assert Progress("train", 8, 10, 60.0, time=time.time() - 1000).seconds_left() == 0


@pytest.mark.parametrize("text", [None, "", "[]", '{"stage": "train"}', '{"done": "soon"}'])
def test_a_missing_or_damaged_file_is_no_progress(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "progress.json").write_text(text)
    assert read(tmp_path) is None


def test_durations_have_hours_only_where_there_are_some() -> None:
    assert [clock(seconds) for seconds in (0, 63.4, 3723.9)] == ["0:00", "1:03", "1:02:03"]
