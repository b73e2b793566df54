"""The previous camera frame: nearest to the target age, per camera; a later frame at a scene's start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from dualdistill.config.nuscenes import CHANNELS, LIDAR
from dualdistill.data.index import Index
from dualdistill.data.previous_frame import PreviousFrame, choose_previous_frame
from dualdistill.errors import DataError


def age_s(index: Index, sample: int, record: int) -> float:
    column = index.record_channel[record]
    key = index.sample_key_record[sample, column]
    return float(index.record_timestamp_us[key] - index.record_timestamp_us[record]) * 1e-6


@pytest.mark.parametrize(
    ("wanted", "got"), [(1.5, 1.5), (0.75, 2 / 3), (0.8, 5 / 6), (2.25, 2.0), (0.01, 1 / 6)]
)
def test_the_frame_nearest_to_the_wanted_age_is_taken(
    make_index: Callable[..., Index], wanted: float, got: float
) -> None:
    index = make_index()
    history = choose_previous_frame(index, 4, wanted, "current")
    assert history.age_s == pytest.approx(got, abs=2e-6)
    for column, record in enumerate(history.camera_records, start=1):
        assert index.channel(record) == CHANNELS[column]
        assert age_s(index, 4, record) == pytest.approx(got, abs=2e-6)


def test_the_lidar_frame_is_the_nearest_in_time_to_the_front_image(
    make_index: Callable[..., Index],
) -> None:
    index = make_index()
    history = choose_previous_frame(index, 4, 0.8, "current")
    front = history.camera_records[1]
    lidar = [record for record in range(len(index.record_path)) if index.channel(record) == LIDAR]
    gap = [abs(int(index.record_timestamp_us[record] - index.record_timestamp_us[front])) for record in lidar]
    assert history.lidar_record == lidar[int(np.argmin(gap))]
    assert min(gap) > 0


def test_the_first_frame_of_a_scene_uses_a_later_frame(
    make_index: Callable[..., Index],
) -> None:
    index = make_index()
    history = choose_previous_frame(index, 0, 1.5, "next")
    assert history.age_s == pytest.approx(-1.5, abs=2e-6)
    assert all(age_s(index, 0, record) == pytest.approx(-1.5, abs=2e-6) for record in history.camera_records)


def test_a_short_past_gives_the_oldest_frame(make_index: Callable[..., Index]) -> None:
    history = choose_previous_frame(make_index(), 1, 1.5, "current")
    assert history.age_s == pytest.approx(0.5, abs=2e-6)


def test_a_scene_with_a_single_image_has_no_later_frame(make_index: Callable[..., Index]) -> None:
    index = make_index(key_frames=1)
    with pytest.raises(DataError, match=r"token0.*single CAM_FRONT"):
        choose_previous_frame(index, 0, 1.5, "next")


def test_the_first_frame_of_a_scene_is_its_own_previous_frame_as_published(
    make_index: Callable[..., Index],
) -> None:
    for index in (make_index(), make_index(key_frames=1)):
        history = choose_previous_frame(index, 0, 1.5, "current")
        keys = index.sample_key_record[0].tolist()
        assert history == PreviousFrame(tuple(keys[1:]), keys[0], 1 / 12)


def test_chains_do_not_run_into_the_next_scene(make_index: Callable[..., Index]) -> None:
    index = make_index()
    prev = index.record_prev.copy()
    cut = [int(index.sample_key_record[2, column]) for column in range(7)]
    prev[cut] = -1
    scene = np.zeros(len(prev), dtype=np.int32)
    for start in cut:
        scene[start : index.chain(start).stop] = 1
    two = replace(index, record_prev=prev, record_scene=scene, sample_scene=np.array([0, 0, 1, 1, 1]))
    assert choose_previous_frame(two, 2, 0.5, "next").age_s == pytest.approx(-0.5, abs=2e-6)
    assert choose_previous_frame(two, 3, 1.5, "next").age_s == pytest.approx(0.5, abs=2e-6)
    assert all(
        two.record_scene[record] == 1 for record in choose_previous_frame(two, 3, 1.5, "next").camera_records
    )
