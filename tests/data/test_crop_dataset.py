"""Crops: windows around boxes, background windows away from them, and their randomness by seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from dualdistill.config.nuscenes import BACKGROUND, CLASSES
from dualdistill.config.run_spec import ClassifierSpec, CropSpec, RunSpec
from dualdistill.data.crop_dataset import CropDataset, Window, collate, find_windows, rectangles
from dualdistill.data.geometry import corners, inverse, move_points, project
from dualdistill.data.index import LIDAR_COLUMN, Index

SPEC = CropSpec(side_px=32)


@pytest.fixture(scope="module")
def index(make_index) -> Index:
    """Five samples of the toy drive, each in a separate scene, all of them for pre-training."""
    made = make_index()
    columns = {"split_role": np.array([b"pretrain"]), "split_name": np.array([b"toy_pretrain"])}
    columns |= {"sample_in_split": np.ones((5, 1), dtype=bool), "sample_scene": np.arange(5, dtype=np.int32)}
    return replace(made, **columns)


@pytest.fixture(scope="module")
def spec(student_spec: RunSpec) -> RunSpec:
    return replace(student_spec, kind="pretrain", model=ClassifierSpec(crops=SPEC))


def dataset(index: Index, toy, spec: RunSpec, train: bool = True) -> CropDataset:
    return CropDataset(index, toy.root, None, spec, SPEC, train=train)


def test_a_rectangle_surrounds_the_projected_corners(index: Index):
    """The vectorised code against a loop over corners with explicit matrices."""
    pose = index.record_sensor_to_global
    for record in index.sample_key_record[1, 1:]:
        found_K4, ahead_K = rectangles(index, 1, int(record))
        lidar = pose[index.sample_key_record[1, LIDAR_COLUMN]]
        for k, corners_83 in enumerate(corners(index.boxes(1))):
            points = move_points(inverse(pose[record]) @ lidar, corners_83)
            assert ahead_K[k] == (points[:, 2] > 0.1).all()
            if ahead_K[k]:
                pixels = project(index.intrinsics(int(record)), points)[:, :2]
                np.testing.assert_allclose(found_K4[k], [*pixels.min(axis=0), *pixels.max(axis=0)])
            elif (points[:, 2] < 0).all():
                assert not found_K4[k].any()


def test_a_window_contains_the_object_and_its_margin(index: Index):
    windows = [
        w for sample in range(5) for w in find_windows(index, sample, SPEC, 0) if w.label != BACKGROUND
    ]
    assert len(windows) > 10
    for window in windows:
        found_K4, _ = rectangles(index, window.sample, window.record)
        rows = index.annotations(window.sample)
        shown = np.clip(found_K4, 0, (400, 225, 400, 225))[index.annotation_label[rows] == window.label][0]
        assert window.side == pytest.approx((shown[2:] - shown[:2]).max() * 1.3)
        np.testing.assert_allclose(
            [window.left + window.side / 2, window.top + window.side / 2], (shown[:2] + shown[2:]) / 2
        )


def test_background_windows_overlap_no_box(index: Index):
    windows = [
        w for sample in range(5) for w in find_windows(index, sample, SPEC, 0) if w.label == BACKGROUND
    ]
    assert windows
    for window in windows:
        assert 0 <= window.left <= window.left + window.side <= 400
        assert 0 <= window.top <= window.top + window.side <= 225
        found_K4, _ = rectangles(index, window.sample, window.record)
        right, bottom = window.left + window.side, window.top + window.side
        for left, top, far, low in found_K4:
            assert far <= max(0, window.left) or left >= right or low <= max(0, window.top) or top >= bottom


@pytest.mark.parametrize(
    ("column", "value"),
    [("annotation_visibility", 2), ("annotation_lidar_points", 0)],
)
def test_hidden_objects_give_no_window(index: Index, column: str, value: int):
    hidden = replace(index, **{column: np.full_like(getattr(index, column), value)})
    assert {w.label for w in find_windows(hidden, 1, SPEC, 0)} <= {BACKGROUND}


def test_an_affine_maps_the_corners_of_the_window_to_those_of_the_crop():
    window = Window(sample=0, record=0, left=10.0, top=20.0, side=8.0, label=0)
    corners_23 = np.array([[10.0, 20.0, 1.0], [18.0, 28.0, 1.0]])
    np.testing.assert_allclose(corners_23 @ window.affine(32).T, [[0, 0, 1], [32, 32, 1]])
    np.testing.assert_allclose(corners_23 @ window.affine(32, mirrored=True).T, [[32, 0, 1], [0, 32, 1]])


def test_jitter_stays_within_its_limit():
    window = Window(sample=0, record=0, left=10.0, top=20.0, side=8.0, label=0)
    moved = window.jittered(np.array([0.0, 1.0, 0.5]), 0.25)
    assert (moved.left, moved.top, moved.side) == (8.0, 22.0, 8.0)
    grown = window.jittered(np.array([0.5, 0.5, 1.0]), 0.25)
    assert (grown.left, grown.top, grown.side) == (9.0, 19.0, 10.0)


def test_held_out_scenes_are_not_trained_on(index: Index, toy, spec: RunSpec):
    train, held_out = (dataset(index, toy, spec, train=value) for value in (True, False))
    assert {window.sample for window in train.windows} == {1, 2, 3, 4}
    assert {window.sample for window in held_out.windows} == {0}


def test_a_crop_depends_on_seed_position_and_draw_alone(index: Index, toy, spec: RunSpec):
    train, again = dataset(index, toy, spec), dataset(index, toy, spec)
    other_seed = dataset(index, toy, replace(spec, seed=1))
    image_3HW = train[3, 7].image_3HW
    assert image_3HW.shape == (3, 32, 32)
    assert torch.equal(image_3HW, again[3, 7].image_3HW)
    assert not torch.equal(image_3HW, train[3, 8].image_3HW)
    assert not torch.equal(image_3HW, other_seed[3, 7].image_3HW)
    held_out = dataset(index, toy, spec, train=False)
    assert torch.equal(held_out[0, 0].image_3HW, held_out[0, 1].image_3HW)


def test_every_label_is_equally_frequent(index: Index, toy, spec: RunSpec):
    train = dataset(index, toy, spec)
    drawn = [train.windows[position].label for position in train.order(0)]
    counts = np.bincount(drawn, minlength=len(CLASSES) + 1)
    assert len(set(counts[counts > 0])) == 1
    assert not np.array_equal(train.order(0), train.order(1))
    plain = dataset(index, toy, replace(spec, schedule=replace(spec.schedule, cbgs=False)))
    assert sorted(plain.order(0)) == list(range(len(plain)))


def test_a_batch_of_crops_keeps_labels_and_tokens(index: Index, toy, spec: RunSpec):
    train = dataset(index, toy, spec)
    batch = collate([train[0, 0], train[1, 0]])
    assert batch.images_BCHW.shape == (2, 3, 32, 32)
    assert batch.labels_B.tolist() == [train.windows[0].label, train.windows[1].label]
    assert batch.tokens == ("token1", "token1")
