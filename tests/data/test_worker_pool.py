"""Results come in order, from any number of processes, and a dead one is a sentence."""

from __future__ import annotations

import os
import signal

import pytest

from dualdistill.data import worker_pool
from dualdistill.errors import DataError


class Adder:
    """Adds a number; dies of a negative one."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, chunk: int) -> int:
        if chunk < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return chunk + self.number


@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_in_order(workers: int) -> None:
    assert list(worker_pool.results(Adder, (10,), range(7), workers)) == list(range(10, 17))


def test_a_dead_process_is_a_sentence() -> None:
    with pytest.raises(DataError, match="a worker process has died"):
        list(worker_pool.results(Adder, (1,), [1, -1], 2))
