"""Augmentation as matrices: one 3x3 per image, one 4x4 per sample, and everything else follows from them.

Pixel (column, row) covers [column, column + 1) x [row, row + 1), so an image of width W spans 0..W: scaling
is u -> s u and mirroring u -> W - u, as the published pipelines have it. cv2 puts integers on pixel centres
instead; `warp` converts.
All random numbers of a sample are drawn at once, in a fixed order, whether or not images or points
are asked for: a teacher and a student that share a seed see the same scene. Axes: N cameras, H W image rows
and columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from dualdistill.config.nuscenes import CAMERAS
from dualdistill.config.run_spec import InputSpec
from dualdistill.data.geometry import Array
from dualdistill.data.sensor_files import Pixels


@dataclass(frozen=True)
class Draws:
    """Uniform numbers in [0, 1): BEV rotation, scale and two flips; history; four per camera."""

    bev_4: Array
    history: float
    image_N4: Array  # scale, crop, flip, rotation

    @staticmethod
    def take(generator: np.random.Generator) -> Draws:
        numbers = generator.random(5 + 4 * len(CAMERAS))
        return Draws(numbers[:4], float(numbers[4]), numbers[5:].reshape(len(CAMERAS), 4))


def between(low: float, high: float, share: float) -> float:
    return low + (high - low) * float(share)


def bev_affine(draws: Draws | None, spec: InputSpec) -> Array:
    """Plain LIDAR_TOP to augmented LIDAR_TOP: rotate, scale, mirror. None means testing: nothing happens."""
    if draws is None:
        return np.eye(4)
    rotate, scale, mirror_x, mirror_y = draws.bev_4
    angle = math.radians(between(-spec.bev_rotate_deg, spec.bev_rotate_deg, rotate))
    factor = between(*spec.bev_scale, scale)
    signs = [-1.0 if spec.bev_flip and share < 0.5 else 1.0 for share in (mirror_x, mirror_y)]
    turn = np.array(
        [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = np.diag([*signs, 1.0]) @ turn * factor
    return affine


def image_affine(draws: Draws | None, camera: int, spec: InputSpec, source: tuple[int, int]) -> Array:
    """Stored pixel to network pixel for an image of the given (height, width): scale, crop, mirror, rotate.

    The crop keeps the bottom edge; sideways it is random in training and centred in testing, and an image
    that became narrower than the network's stays at the left, padded with black, as in the published
    pipeline.
    """
    height, width = source
    base = spec.image_width / width
    if draws is None:
        scale, share, mirror, angle = base + spec.resize_test, 0.5, False, 0.0
    else:
        resize, share, flip, rotate = draws.image_N4[camera]
        scale = base + between(*spec.resize_jitter, resize)
        mirror = bool(spec.image_flip and flip < 0.5)
        angle = math.radians(between(-spec.image_rotate_deg, spec.image_rotate_deg, rotate))
    left = max(0.0, width * scale - spec.image_width) * share
    top = height * scale - spec.image_height
    affine = np.array([[scale, 0, -left], [0, scale, -top], [0, 0, 1]])
    if mirror:
        affine = np.array([[-1, 0, spec.image_width], [0, 1, 0], [0, 0, 1]]) @ affine
    cosine, sine = math.cos(angle), math.sin(angle)
    centre = np.array([spec.image_width, spec.image_height]) / 2
    spin = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    spin[:2, 2] = centre - spin[:2, :2] @ centre
    return np.asarray(spin @ affine)


def warp(image_HW3: Pixels, affine_33: Array, size: tuple[int, int]) -> Pixels:
    """The image, or a mask [H, W], seen through an affine, black outside; size is (height, width).

    Bilinear reading looks at two pixels per axis: below half size it would skip rows and make thin things
    flicker with the crop. There the image is first averaged down by a whole factor, much as PIL's resize
    does; what does not fill a block, at the top and on the right, is left out.
    """
    factor = int(1 / math.sqrt(abs(np.linalg.det(affine_33[:2, :2]))))
    if factor > 1:
        height, width = image_HW3.shape[:2]
        top, small = height % factor, (width // factor, height // factor)
        block = image_HW3[top:, : small[0] * factor]
        image_HW3 = np.asarray(cv2.resize(block, small, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        affine_33 = affine_33 @ np.array([[factor, 0, 0], [0, factor, top], [0, 0, 1]])
    matrix_23 = affine_33[:2].copy()
    matrix_23[:, 2] += affine_33[:2, :2] @ (0.5, 0.5) - 0.5  # to and from cv2's pixel centres
    warped = cv2.warpAffine(image_HW3, matrix_23, size[::-1], flags=cv2.INTER_LINEAR)
    return np.asarray(warped, dtype=np.uint8)
