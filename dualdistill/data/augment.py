"""Augmentation as matrices: one 3x3 per image and one 4x4 per sample, applied to everything else.

Pixel (column, row) covers [column, column + 1) x [row, row + 1), so an image of width W spans 0..W: scaling
is u -> s u and mirroring u -> W - u, as in the published pipelines. cv2 puts integers on pixel centres;
`warp` converts.
All random numbers of a sample are drawn at once, in a fixed order, whether or not images or points are
loaded: a teacher and a student with the same seed get the same scene. Axes: N cameras, H W image rows
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
    """Uniform random numbers in [0, 1) of one sample."""

    bev_4: Array  # rotation, scale, flip in x, flip in y
    history: float  # age of the previous frame
    image_N4: Array  # scale, crop, flip, rotation
    sweep: float  # the LiDAR sweep that is left out

    @staticmethod
    def take(generator: np.random.Generator) -> Draws:
        # a new number is drawn after the others, so that these stay
        numbers = generator.random(6 + 4 * len(CAMERAS))
        images_N4 = numbers[5:-1].reshape(len(CAMERAS), 4)
        return Draws(numbers[:4], float(numbers[4]), images_N4, float(numbers[-1]))


def between(low: float, high: float, share: float) -> float:
    return low + (high - low) * float(share)


def bev_affine(draws: Draws | None, spec: InputSpec) -> Array:
    """Plain LIDAR_TOP to augmented LIDAR_TOP: rotate, scale, mirror; the identity without draws."""
    if draws is None:
        return np.eye(4)
    rotate, scale, mirror_x, mirror_y = draws.bev_4
    angle = math.radians(between(-spec.bev_rotate_deg, spec.bev_rotate_deg, rotate))
    factor = between(*spec.bev_scale, scale)
    signs = [-1.0 if spec.bev_flip and share < 0.5 else 1.0 for share in (mirror_x, mirror_y)]
    rotation = np.array(
        [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = np.diag([*signs, 1.0]) @ rotation * factor
    return affine


def image_affine(draws: Draws | None, camera: int, spec: InputSpec, source: tuple[int, int]) -> Array:
    """Stored pixel to network pixel of an image with (height, width) `source`: scale, crop, mirror, rotate.

    The crop keeps the bottom edge and is horizontally random in training, centred in testing; an image
    narrower than the network input stays at the left, padded with black, as in the published pipeline.
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
    rotation = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    rotation[:2, 2] = centre - rotation[:2, :2] @ centre
    return np.asarray(rotation @ affine)


def shrinking(affine_33: Array) -> int:
    """The whole factor by which an affine makes an image smaller."""
    return int(1 / math.sqrt(abs(np.linalg.det(affine_33[:2, :2]))))


def warp(image_HW3: Pixels, affine_33: Array, size: tuple[int, int]) -> Pixels:
    """Warp an image, or a mask [H, W], by an affine, black outside; size is (height, width).

    Below half size, where bilinear sampling, with two pixels per axis, would skip rows and thin objects would
    flicker with the crop, the image is first averaged down by a whole factor, much as in PIL's resize;
    incomplete blocks at the top and on the right are left out.
    """
    factor = shrinking(affine_33)
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
