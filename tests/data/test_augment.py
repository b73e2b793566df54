"""Augmentation is consistent between boxes, points, velocities and images."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from dualdistill.config.run_spec import InputSpec
from dualdistill.data.augment import Draws, bev_affine, image_affine, warp
from dualdistill.data.geometry import corners, move_boxes, move_points, points_in_box, project, rigid

SPEC = InputSpec(image_height=64, image_width=176)
SOURCE = (225, 400)
DRAWS = [Draws.take(np.random.default_rng(seed)) for seed in range(8)]


def scene() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    boxes = np.empty((30, 9))
    boxes[:, :3] = generator.uniform(-20, 20, (30, 3)) * (1, 1, 0.1)
    boxes[:, 3:6] = generator.uniform(0.5, 8, (30, 3))
    boxes[:, 6] = generator.uniform(-3, 3, 30)
    boxes[:, 7:] = generator.uniform(-9, 9, (30, 2))
    return boxes, generator.uniform(-22, 22, (20_000, 3)) * (1, 1, 0.15)


@pytest.mark.parametrize("draws", DRAWS)
def test_boxes_keep_their_points_under_bev_augmentation(draws: Draws) -> None:
    boxes, points = scene()
    affine = bev_affine(draws, SPEC)
    before = [int(points_in_box(box, points).sum()) for box in boxes]
    after = [int(points_in_box(box, move_points(affine, points)).sum()) for box in move_boxes(affine, boxes)]
    assert sum(before) > 1000
    assert before == after


@pytest.mark.parametrize("draws", DRAWS)
def test_corners_project_to_the_same_pixels_under_bev_augmentation(draws: Draws) -> None:
    boxes, _ = scene()
    affine = bev_affine(draws, SPEC)
    camera_to_lidar = rigid((0.6, -0.5, 0.45, -0.4), (0.3, 0.9, -0.2))
    intrinsics = np.array([[210.0, 0, 203], [0, 210, 118], [0, 0, 1]])

    def pixels(camera_to_boxes: np.ndarray, eight_K83: np.ndarray) -> np.ndarray:
        in_camera = move_points(np.linalg.inv(camera_to_boxes), eight_K83.reshape(-1, 3))
        return project(intrinsics, in_camera).reshape(-1, 8, 3)

    before = pixels(camera_to_lidar, corners(boxes))
    after = pixels(affine @ camera_to_lidar, corners(move_boxes(affine, boxes)))
    # mirroring swaps left and right corners: compare the eight as a set
    key = np.array([1.0, 1e-3, 1e-6])
    for old, new in zip(before, after, strict=True):
        assert np.allclose(old[np.argsort(old @ key)], new[np.argsort(new @ key)], rtol=1e-6, atol=1e-6)


def test_velocities_are_augmented_with_the_boxes() -> None:
    boxes, _ = scene()
    later = boxes.copy()
    later[:, :2] += boxes[:, 7:] * 0.5
    for draws in DRAWS:
        now = move_boxes(bev_affine(draws, SPEC), boxes)
        assert np.allclose(now[:, :2] + now[:, 7:] * 0.5, move_boxes(bev_affine(draws, SPEC), later)[:, :2])


def test_bev_augmentation_is_off_in_testing() -> None:
    assert (bev_affine(None, SPEC) == np.eye(4)).all()


def test_bev_augmentation_stays_within_its_limits_and_uses_all_four_mirrors() -> None:
    mirrors = set()
    for seed in range(200):
        affine = bev_affine(Draws.take(np.random.default_rng(seed)), SPEC)
        scale = abs(np.linalg.det(affine[:3, :3])) ** (1 / 3)
        assert 0.95 <= scale <= 1.05
        assert affine[2, 2] == pytest.approx(scale)
        signs = np.sign(np.diag(affine)[:2])
        mirrors.add(tuple(signs))
        turn = np.diag([*signs, 1]) @ affine[:3, :3] / scale
        assert abs(np.degrees(np.arctan2(turn[1, 0], turn[0, 0]))) <= 22.5
    assert len(mirrors) == 4


def test_a_test_image_is_scaled_about_pixel_edges_cropped_at_the_top_and_centred() -> None:
    affine = image_affine(None, 0, SPEC, SOURCE)
    scale = 176 / 400 + 0.04
    assert affine[0, 0] == pytest.approx(scale)
    assert (affine @ (0, 225, 1))[1] == pytest.approx(64)  # the last row's edge stays the last row's edge
    left, right = (affine @ (0, 0, 1))[0], (affine @ (400, 0, 1))[0]
    assert left == pytest.approx(-(400 * scale - 176) / 2)
    assert left + right == pytest.approx(176)


def test_an_image_narrower_than_the_network_input_stays_at_the_left() -> None:
    spec = replace(SPEC, resize_jitter=(-0.06, -0.06), image_rotate_deg=0.0, image_flip=False)
    affine = image_affine(DRAWS[0], 0, spec, SOURCE)
    assert (affine @ (0, 0, 1))[0] == pytest.approx(0)


def test_all_of_a_cameras_draws_are_used() -> None:
    affines = [image_affine(draws, camera, SPEC, SOURCE) for draws in DRAWS for camera in range(6)]
    scales = [np.sqrt(abs(np.linalg.det(affine[:2, :2]))) for affine in affines]
    assert min(scales) < 0.40
    assert max(scales) > 0.53
    assert {np.sign(np.linalg.det(affine[:2, :2])) for affine in affines} == {-1.0, 1.0}
    turns = [
        np.degrees(np.arctan2(affine[1, 0] * np.sign(affine[0, 0]), abs(affine[0, 0]))) for affine in affines
    ]
    assert min(turns) < -4
    assert max(turns) > 4
    assert max(map(abs, turns)) <= 5.4


@pytest.mark.parametrize("source", [(225, 400), (900, 1600)], ids=["world", "nuscenes"])
def test_a_warped_spot_lies_where_the_affine_says(source: tuple[int, int]) -> None:
    big = InputSpec(image_height=64 * source[1] // 400, image_width=176 * source[1] // 400)
    rows, columns = np.mgrid[: source[0], : source[1]] + 0.5
    sigma = source[1] / 80
    tried = 0
    for draws in DRAWS[:4]:
        for camera in (1, 2, 5):
            affine = image_affine(draws, camera, big, source)
            target = np.array([big.image_width * 0.43, big.image_height * 0.58])  # well inside
            u, v, _ = np.linalg.inv(affine) @ (*target, 1)
            spot = 250 * np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / (2 * sigma**2))
            image = np.repeat(np.round(spot).astype(np.uint8)[..., None], 3, axis=2)
            warped = warp(image, affine, (big.image_height, big.image_width))[..., 1].astype(float)
            out_rows, out_columns = np.mgrid[: big.image_height, : big.image_width] + 0.5
            centre = np.array([(out_columns * warped).sum(), (out_rows * warped).sum()]) / warped.sum()
            assert np.abs(centre - target).max() < 0.06
            tried += 1
    assert tried == 12


def test_the_inverse_affine_restores_the_image() -> None:
    rows, columns = np.mgrid[:225, :400]
    image = np.stack([127 + 100 * np.sin(columns / 40), 127 + 100 * np.cos(rows / 30), rows], axis=-1).astype(
        np.uint8
    )
    spec = InputSpec(image_height=224, image_width=400, resize_jitter=(0.0, 0.1))
    for draws in DRAWS:
        affine = image_affine(draws, 2, spec, SOURCE)
        back = warp(warp(image, affine, SOURCE), np.linalg.inv(affine), SOURCE)
        white = warp(warp(np.full_like(image, 255), affine, SOURCE), np.linalg.inv(affine), SOURCE)
        kept = cv2.erode(white.min(axis=2), np.ones((5, 5), np.uint8)) == 255
        assert kept.mean() > 0.5
        assert np.abs(back.astype(int) - image)[kept].max() <= 4


def test_fine_stripes_turn_grey_instead_of_flickering_when_the_image_shrinks() -> None:
    stripes = np.zeros((900, 1600, 3), np.uint8)
    stripes[::2] = 255
    affine = image_affine(None, 0, InputSpec(resize_test=0.0), (900, 1600))
    warped = warp(stripes, affine, (256, 704)).astype(int)
    assert np.abs(warped[2:-2, 2:-2] - 127).max() <= 2


def test_draws_do_not_depend_on_what_is_loaded() -> None:
    first, second = Draws.take(np.random.default_rng(5)), Draws.take(np.random.default_rng(5))
    assert (first.bev_4 == second.bev_4).all()
    assert first.history == second.history
    assert (first.image_N4 == second.image_N4).all()
    assert first.image_N4.shape == (6, 4)
    assert len(np.unique(first.image_N4)) == 24


def test_numbers_that_were_added_later_leave_the_earlier_ones_as_they_were() -> None:
    numbers, draws = np.random.default_rng(5).random(30), Draws.take(np.random.default_rng(5))
    earlier = [*draws.bev_4, draws.history, *draws.image_N4.flatten()]
    assert earlier == numbers[:29].tolist()
    assert draws.sweep == numbers[29]
