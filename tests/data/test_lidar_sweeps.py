"""Sweeps of a car that turns 12.5 degrees between two of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dualdistill.data.geometry import inverse
from dualdistill.data.index import Index
from dualdistill.data.lidar_sweeps import choose_sweeps, load_sweeps


def test_a_wall_recorded_by_every_sweep_coincides_after_merging(make_index: Callable[..., Index]) -> None:
    index = make_index()
    key = int(index.sample_key_record[3, 0])
    lidar_now = index.record_sensor_to_global[key]
    wall = np.random.default_rng(0).uniform((5, 8, -1), (15, 9, 3), (50, 3))
    wall_in_world = wall @ lidar_now[:3, :3].T + lidar_now[:3, 3]

    def cloud(record: int) -> np.ndarray:
        pose = index.record_sensor_to_global[record]
        points = [pose[:3, :3].T @ (point - pose[:3, 3]) for point in wall_in_world]
        return np.hstack([np.array(points), np.full((50, 1), record)]).astype(np.float32)

    points = load_sweeps(index, choose_sweeps(index, key, 4), cloud).reshape(4, 50, 5)
    turned = inverse(lidar_now) @ index.record_sensor_to_global[key - 1]
    assert abs(np.degrees(np.arctan2(turned[1, 0], turned[0, 0]))) > 10
    for sweep in points:
        assert np.abs(sweep[:, :3] - wall).max() < 1e-4
    assert (points[:, 0, 3] == [key, key - 1, key - 2, key - 3]).all()
    assert np.allclose(points[:, 0, 4], [0, 0.125, 0.25, 0.375], atol=1e-6)


def test_rotating_before_translating_as_in_mmdet3d_is_off_by_decimetres(
    make_index: Callable[..., Index],
) -> None:
    index = make_index()
    key = int(index.sample_key_record[3, 0])
    now_from_then = inverse(index.record_sensor_to_global[key]) @ index.record_sensor_to_global[key - 1]
    point = np.array([5.0, 8, 1, 30])
    ours = load_sweeps(index, [key, key - 1], lambda record: point[None].astype(np.float32))[1, :3]
    then_from_now = np.linalg.inv(now_from_then)
    published = point[:3] @ then_from_now[:3, :3] - then_from_now[:3, 3]
    assert np.linalg.norm(ours - (now_from_then @ (*point[:3], 1))[:3]) < 1e-5
    assert np.linalg.norm(ours - published) > 0.2


def test_only_earlier_sweeps_lose_the_returns_of_the_car_itself(make_index: Callable[..., Index]) -> None:
    index = make_index()
    key = int(index.sample_key_record[2, 0])
    near_and_far = np.array([[0.5, -0.9, 0, 1], [0.5, 1.1, 0, 2], [-3.0, 0.1, 0, 3]], dtype=np.float32)
    points = load_sweeps(index, [key, key - 1], lambda record: near_and_far)
    assert points[:, 3].tolist() == [1, 2, 3, 2, 3]


def test_the_first_frame_of_a_scene_has_no_earlier_sweeps(make_index: Callable[..., Index]) -> None:
    index = make_index()
    first, second = index.sample_key_record[:2, 0].tolist()
    for left_out in (None, 0.0, 0.99):
        assert choose_sweeps(index, first, 10, left_out) == [first]
        assert choose_sweeps(index, second, 10, left_out) == list(range(second, first - 1, -1))


def test_training_leaves_out_a_random_one_of_ten_earlier_sweeps(make_index: Callable[..., Index]) -> None:
    index = make_index()
    key = int(index.sample_key_record[4, 0])
    listed = list(range(key - 1, key - 11, -1))
    assert choose_sweeps(index, key, 10) == [key, *listed[:9]]
    chosen = [choose_sweeps(index, key, 10, share) for share in (np.arange(10) + 0.5) / 10]
    assert chosen == [[key, *listed[:n], *listed[n + 1 :]] for n in range(10)]
    assert choose_sweeps(index, key, 1, 0.7) == [key]
