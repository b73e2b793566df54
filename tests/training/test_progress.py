"""The share of a training that waits for data is measured."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from dualdistill.training.progress import Clock


def slow(count: int) -> Iterator[int]:
    for number in range(count):
        time.sleep(0.05)
        yield number


def test_the_time_until_a_batch_comes_counts_and_the_step_does_not() -> None:
    clock = Clock(0, 4, 0.0)
    for _ in clock.watched(slow(4)):
        time.sleep(0.15)
    assert clock.waited == pytest.approx(0.2, rel=0.5)
    assert 0.05 < clock.waiting < 0.5
    assert re.search(r" s/step  \d+% for data  eta ", clock.line(4, 1.0, {"heatmap": 1.0}, 0))
