"""What a training sees at which step: whole epochs, a part of one, and where an interrupted run goes on."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch.utils.data import Dataset

from dualdistill.config.run_spec import ScheduleSpec
from dualdistill.data.loader import Feed
from dualdistill.errors import UserError

COUNT = 9


class Asked(Dataset[tuple[int, int]]):
    """Gives back what it is asked for."""

    def __getitem__(self, key: tuple[int, int]) -> tuple[int, int]:
        return key


def feed(epochs: float, count: int = COUNT) -> Feed:
    def order(epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng(epoch).permutation(count)

    return Feed(ScheduleSpec(epochs=epochs, batch=2), Asked(), list, order)


def seen(of: Feed, step: int = 0) -> list[list[tuple[int, int]]]:
    return list(islice(of.batches(step, Fabric(accelerator="cpu")), of.total - step))


@pytest.mark.parametrize(("epochs", "steps"), [(0, 0), (0.6, 2), (1, 4), (2.25, 9)])
def test_an_epoch_may_end_early(epochs: float, steps: int) -> None:
    asked = seen(feed(epochs))
    assert feed(epochs).total == steps == len(asked)
    assert asked == seen(feed(3))[:steps]


def test_an_epoch_shows_no_sample_twice_and_the_next_one_shuffles() -> None:
    asked = seen(feed(1.5))
    first, second = ([position for batch in part for position, _ in batch] for part in (asked[:4], asked[4:]))
    assert len(set(first)) == 8
    assert len(set(second)) == 4
    assert second != first[:4]
    draws = [draw for batch in asked for _, draw in batch]
    assert len(set(draws)) == len(draws)


@pytest.mark.parametrize("step", range(7))
def test_an_interrupted_training_goes_on_with_what_it_would_have_seen(step: int) -> None:
    assert seen(feed(1.75), step) == seen(feed(1.75))[step:]


def test_a_batch_that_cannot_be_filled_is_one_sentence() -> None:
    with pytest.raises(UserError, match="1 training samples do not fill one batch of 2"):
        feed(0, count=1)
