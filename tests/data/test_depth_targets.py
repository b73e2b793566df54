"""Depth targets against a loop over points."""

from __future__ import annotations

import numpy as np
import pytest

from dualdistill.config.run_spec import InputSpec
from dualdistill.data.augment import Draws, image_affine
from dualdistill.data.depth_targets import depth_targets, owners, projection
from dualdistill.data.geometry import inverse, rigid

INTRINSICS = np.array([[210.0, 0, 203], [0, 210, 118], [0, 0, 1]])
FORWARD = rigid((0.5, 0.5, -0.5, 0.5), (0, 0, 0))  # camera looking along x of the other frame
SPEC = InputSpec(image_height=64, image_width=176)


def one_target(points: np.ndarray, transform: np.ndarray, affine: np.ndarray, stride: int = 16) -> np.ndarray:
    return depth_targets(points, projection(affine, INTRINSICS, transform)[None], (64, 176), stride)[0][0]


def by_loop(
    points: np.ndarray, transform: np.ndarray, intrinsics: np.ndarray, affine: np.ndarray, stride: int
) -> np.ndarray:
    """The definition as a loop over points."""
    target = np.zeros((64 // stride, 176 // stride))
    for point in points.astype(np.float64):
        x, y, depth, _ = transform @ (*point, 1)
        if depth < 1:
            continue
        u, v, _ = affine @ intrinsics @ (x / depth, y / depth, 1)
        row, column = round(v / stride), round(u / stride)  # Python rounds halves to even, as torch does
        inside = 0 <= row < target.shape[0] and 0 <= column < target.shape[1]
        if inside and (target[row, column] == 0 or depth < target[row, column]):
            target[row, column] = depth
    return target


@pytest.mark.parametrize("stride", [8, 16])
def test_targets_equal_a_loop_over_the_points(stride: int) -> None:
    points = np.random.default_rng(0).uniform((-40, -40, -3), (40, 40, 5), (5000, 3)).astype(np.float32)
    transform = inverse(FORWARD) @ inverse(rigid((0.98, 0.02, 0.01, 0.2), (0.4, -0.2, -0.3)))
    filled = 0
    for seed in range(6):
        affine = image_affine(Draws.take(np.random.default_rng(seed)), 1, SPEC, (225, 400))
        ours = one_target(points, transform, affine, stride)
        expected = by_loop(points, transform, INTRINSICS, affine, stride)
        assert np.allclose(ours, expected, atol=1e-4)
        filled += int((expected > 0).sum())
    assert filled > 100


def test_the_nearest_of_two_points_in_a_cell_is_kept_in_any_order() -> None:
    far_and_near = np.array([[0, 0, 30.0], [0, 0, 12.5]], dtype=np.float32)
    affine = np.array([[0.44, 0, 0], [0, 0.44, -20], [0, 0, 1]])
    for order in (far_and_near, far_and_near[::-1]):
        target = one_target(order, np.eye(4), affine)
        assert target.max() == 12.5
        assert (target > 0).sum() == 1
        assert target[round((118 * 0.44 - 20) / 16), round(203 * 0.44 / 16)] == 12.5


def test_points_behind_the_camera_on_the_car_or_outside_the_image_give_no_depth() -> None:
    points = np.array([[0, 0, -5], [0, 0, 0.9], [50, 0, 10], [0, 50, 10], [-11, 0, 10]], dtype=np.float32)
    assert (one_target(points, np.eye(4), np.diag([0.44, 0.44, 1])) == 0).all()


def test_the_index_of_the_nearest_point_is_returned_per_cell() -> None:
    points = np.random.default_rng(0).uniform((-40, -40, -3), (40, 40, 5), (5000, 3)).astype(np.float32)
    transform = inverse(FORWARD)
    matrix = projection(np.diag([0.44, 0.44, 1]), INTRINSICS, transform)
    (depth_hw,), (nearest_hw,) = depth_targets(points, matrix[None], (64, 176), 16)
    assert ((nearest_hw >= 0) == (depth_hw > 0)).all()
    ahead = points[nearest_hw[nearest_hw >= 0]] @ transform[2, :3] + transform[2, 3]
    assert np.allclose(ahead, depth_hw[nearest_hw >= 0], atol=1e-4)


def test_a_cell_belongs_to_the_box_that_contains_its_point() -> None:
    points = np.array([[0.0, 0, 0], [5, 0, 0.9], [5, 0, 1.1], [9, 9, 0]], dtype=np.float32)
    boxes = np.zeros((3, 9))
    boxes[:, :6] = [[0, 0, 0, 2, 2, 2], [5, 0, 0, 4, 2, 2], [0.5, 0, 0, 2, 2, 2]]
    nearest = np.array([[[0, 1, 2], [3, -1, 1]]])
    # the first and the last box overlap, the third point is above the second box, -1 is no point
    assert owners(nearest, points, boxes).tolist() == [[[3, 2, 0], [0, 0, 2]]]
    assert not owners(nearest, points, boxes[:0]).any()
