"""Batches of a training by step: whole epochs, a fraction of an epoch, and a resumed run."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch.utils.data import Dataset

from dualdistill.config.run_spec import ScheduleSpec
from dualdistill.data.loader import TrainingBatches
from dualdistill.errors import UserError

COUNT = 9


class Keys(Dataset[tuple[int, int]]):
    """Returns the key as the sample."""

    def __getitem__(self, key: tuple[int, int]) -> tuple[int, int]:
        return key


def training(epochs: float, count: int = COUNT, **length: float) -> TrainingBatches:
    def order(epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng(epoch).permutation(count)

    return TrainingBatches(ScheduleSpec(epochs=epochs, batch=2, **length), Keys(), list, order)


def read(training: TrainingBatches, step: int = 0) -> list[list[tuple[int, int]]]:
    return list(islice(training.batches(step, Fabric(accelerator="cpu")), training.total - step))


@pytest.mark.parametrize(("epochs", "steps"), [(0, 0), (0.6, 2), (1, 4), (2.25, 9)])
def test_an_epoch_may_end_early(epochs: float, steps: int) -> None:
    keys = read(training(epochs))
    assert training(epochs).total == steps == len(keys)
    assert keys == read(training(3))[:steps]


@pytest.mark.parametrize(("length", "steps"), [({"scale": 1.3}, 5), ({"total_steps": 7}, 7)])
def test_a_longer_training_begins_like_a_shorter_one(length: dict[str, float], steps: int) -> None:
    keys = read(training(1, **length))
    assert training(1, **length).total == steps == len(keys)
    assert keys[:4] == read(training(1))


def test_an_epoch_repeats_no_sample_and_the_next_is_shuffled_anew() -> None:
    keys = read(training(1.5))
    first, second = ([position for batch in part for position, _ in batch] for part in (keys[:4], keys[4:]))
    assert len(set(first)) == 8
    assert len(set(second)) == 4
    assert second != first[:4]
    draws = [draw for batch in keys for _, draw in batch]
    assert len(set(draws)) == len(draws)


@pytest.mark.parametrize("step", range(7))
def test_a_resumed_training_gets_the_same_batches(step: int) -> None:
    assert read(training(1.75), step) == read(training(1.75))[step:]


def test_too_few_samples_for_a_batch_are_refused() -> None:
    with pytest.raises(UserError, match="1 training samples do not fill one batch of 2"):
        training(0, count=1)
