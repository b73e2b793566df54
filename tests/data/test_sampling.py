"""Order of an epoch: every sample once, or class-balanced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from dualdistill.config.nuscenes import CLASSES
from dualdistill.data.index import Index
from dualdistill.data.sampling import balanced, class_presence, epoch_order
from dualdistill.errors import UserError


def test_a_plain_epoch_contains_every_sample_once(make_index: Callable[..., Index]) -> None:
    index = make_index(key_frames=30)
    order = epoch_order(index, "toy_train", seed=0, epoch=0, cbgs=False)
    assert sorted(order) == list(range(29))
    assert list(order) != list(range(29))


def test_the_order_depends_on_seed_and_epoch_alone(make_index: Callable[..., Index]) -> None:
    index = make_index(key_frames=30)
    for cbgs in (False, True):

        def order(seed: int, epoch: int, cbgs: bool = cbgs) -> list[int]:
            return epoch_order(index, "train", seed=seed, epoch=epoch, cbgs=cbgs).tolist()

        assert order(0, 0) == order(0, 0)
        assert order(0, 0) != order(0, 1)
        assert order(0, 0) != order(1, 0)
        assert order(0, 1) != order(1, 0)


def test_cbgs_draws_a_rare_class_as_often_as_a_common_class() -> None:
    present = np.zeros((1000, len(CLASSES)), dtype=bool)
    present[:, 0] = True
    present[:20, 1] = True  # always together with class 0
    present[500:600, 2] = True
    order = balanced(present, np.random.default_rng(0))
    assert len(order) == 3 * (1120 // 3)
    # class 1: its share of 373 draws and one in fifty of class 0's
    assert present[order, 1].sum() == pytest.approx(373 + 373 * 20 / 1000, abs=20)
    assert present[order, 2].sum() == pytest.approx(373 + 373 * 100 / 1000, abs=25)


def test_cbgs_has_the_published_length_when_all_classes_occur() -> None:
    generator = np.random.default_rng(0)
    present = generator.random((500, 10)) < np.linspace(0.9, 0.02, 10)
    order = balanced(present, generator)
    assert len(order) == 10 * int(present.sum() / 10)
    assert set(order) <= set(np.flatnonzero(present.any(axis=1)))


def test_cbgs_ignores_absent_classes_and_works_without_any_class() -> None:
    present = np.zeros((40, len(CLASSES)), dtype=bool)
    assert sorted(balanced(present, np.random.default_rng(0))) == list(range(40))
    present[:10, 3] = True
    order = balanced(present, np.random.default_rng(0))
    assert len(order) == 10
    assert order.max() < 10


def test_only_boxes_with_points_count_as_present(make_index: Callable[..., Index]) -> None:
    index = make_index()
    points = index.annotation_lidar_points.copy()
    points[index.annotations(1).start + CLASSES.index("bus")] = 0
    present = class_presence(replace(index, annotation_lidar_points=points), "train")
    assert present.shape == (4, 10)
    assert (~present).sum() == 1
    assert not present[1, CLASSES.index("bus")]


def test_an_unknown_split_is_refused_with_a_list_of_the_known_splits(
    make_index: Callable[..., Index],
) -> None:
    with pytest.raises(UserError, match=r"no split named vall.*toy_train, toy_val, train, val"):
        epoch_order(make_index(), "vall", seed=0, epoch=0, cbgs=False)
