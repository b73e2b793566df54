"""Transforms, each tried on one box that is asymmetric and off the diagonal."""

from __future__ import annotations

import numpy as np
import pytest
from pyquaternion import Quaternion

from dualdistill.data.geometry import (
    boxes_from_global,
    corners,
    inverse,
    move_boxes,
    move_points,
    points_in_box,
    project,
    rigid,
)

BOX = np.array([[10.0, 5.0, 1.0, 4.0, 2.0, 1.5, 0.3, 3.0, 1.0]])  # 4 m long, 2 m wide
TILTED = rigid((0.9, 0.02, -0.03, 0.42), (411.3, 1180.9, 1.2))


def flat(rows: list[list[float]]) -> np.ndarray:
    affine = np.eye(4)
    affine[:2, :2] = rows
    return affine


def test_rotations_equal_those_of_pyquaternion() -> None:
    for wxyz in np.random.default_rng(0).normal(size=(20, 4)):
        rotation = rigid(wxyz, (0, 0, 0))[:3, :3]
        assert np.allclose(rotation, Quaternion(wxyz).rotation_matrix, atol=1e-12)


def test_a_transform_after_its_inverse_changes_nothing() -> None:
    assert np.allclose(inverse(TILTED) @ TILTED, np.eye(4), atol=1e-10)
    stacked = np.stack([TILTED, np.eye(4)])
    assert np.allclose(inverse(stacked) @ stacked, np.eye(4), atol=1e-10)
    mirrored = np.diag([-1.3, 1.3, 1.3, 1]) @ TILTED
    assert np.allclose(inverse(mirrored) @ mirrored, np.eye(4), atol=1e-10)


def test_a_rigid_transform_turns_before_it_moves() -> None:
    quarter = rigid(Quaternion(axis=(0, 0, 1), degrees=90).elements, (10, 0, 0))
    assert np.allclose(move_points(quarter, np.array([[1.0, 0, 0]])), [[10, 1, 0]])


@pytest.mark.parametrize(
    ("affine", "expected"),
    [
        (flat([[0, -1], [1, 0]]), [-5, 10, 1, 4, 2, 1.5, 0.3 + np.pi / 2, -1, 3]),
        (flat([[-1, 0], [0, 1]]), [-10, 5, 1, 4, 2, 1.5, np.pi - 0.3, -3, 1]),
        (flat([[1, 0], [0, -1]]), [10, -5, 1, 4, 2, 1.5, -0.3, 3, -1]),
        (np.diag([1.1, 1.1, 1.1, 1]), [11, 5.5, 1.1, 4.4, 2.2, 1.65, 0.3, 3.3, 1.1]),
        (rigid((1, 0, 0, 0), (1, 2, 3)), [11, 7, 4, 4, 2, 1.5, 0.3, 3, 1]),
    ],
    ids=["quarter turn to the left", "mirror x", "mirror y", "scale", "shift"],
)
def test_a_box_moves_as_computed_by_hand(affine: np.ndarray, expected: list[float]) -> None:
    assert np.allclose(move_boxes(affine, BOX), [expected], atol=1e-12)


def test_global_annotations_land_in_the_lidar_frame_with_length_first() -> None:
    # the LiDAR looks along global -x: its y (forward) is -x, its x (right) is +y
    lidar_to_global = np.array([[0.0, -1, 0, 100], [1, 0, 0, 200], [0, 0, 1, 2], [0, 0, 0, 1]])
    box = boxes_from_global(
        lidar_to_global,
        np.array([[90.0, 207.0, 3.0]]),  # 10 m ahead, 7 m to the right
        np.array([[2.0, 4.0, 1.5]]),  # width, length, height
        np.array([[0.0, 0, 0, 1]]),  # heading along global -x, that is straight ahead
        np.array([[-6.0, 1.0, 9.0]]),
    )
    assert np.allclose(box, [[7, 10, 1, 4, 2, 1.5, np.pi / 2, 1, 6]])


def test_unknown_velocities_stay_unknown() -> None:
    box = BOX.copy()
    box[0, 7:] = np.nan
    moved = move_boxes(flat([[0, -1], [1, 0]]), box)
    assert np.isnan(moved[0, 7:]).all()
    assert np.isfinite(moved[0, :7]).all()


def test_corners_lie_at_half_a_length_along_the_heading() -> None:
    eight = corners(BOX)[0]
    ahead = np.array([np.cos(0.3), np.sin(0.3)])
    left = np.array([-np.sin(0.3), np.cos(0.3)])
    assert np.allclose(eight[0], [*(BOX[0, :2] + 2 * ahead + left), 1.75])
    assert np.allclose(eight.mean(axis=0), BOX[0, :3])
    assert np.allclose(sorted((eight[:, :2] - BOX[0, :2]) @ ahead), [-2] * 4 + [2] * 4)


def test_the_length_of_a_box_lies_along_its_heading() -> None:
    ahead = np.array([np.cos(0.3), np.sin(0.3), 0])
    left = np.array([-np.sin(0.3), np.cos(0.3), 0])
    points = BOX[0, :3] + np.stack(
        [1.9 * ahead, 2.1 * ahead, 0.9 * left, 1.1 * left, [0, 0, 0.7], [0, 0, -0.8]]
    )
    assert points_in_box(BOX[0], points).tolist() == [True, False, True, False, True, False]


def test_a_point_on_the_optical_axis_lands_on_the_principal_point() -> None:
    intrinsics = np.array([[100.0, 0, 50], [0, 120, 30], [0, 0, 1]])
    assert np.allclose(project(intrinsics, np.array([[0.0, 0, 7], [1, 2, 10]])), [[50, 30, 7], [60, 54, 10]])
