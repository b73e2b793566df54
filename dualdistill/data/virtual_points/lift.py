"""Virtual points: pixels of an instance's mask at the depth of the nearest LiDAR point in the mask.

Yin, Zhou, Krähenbühl, Multimodal Virtual Point 3D Detection, NeurIPS 2021. The LiDAR points within a mask are
painted: repeated with the mask's class and score. Axes: P points, K LiDAR points in a mask, V virtual points,
H W image rows and columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from dualdistill.data.geometry import Array, inverse, move_points, project
from dualdistill.data.masks.provider import Instance, Mask, ranked
from dualdistill.data.sensor_files import Points
from dualdistill.data.virtual_points.reader import ROW, VIRTUAL_INTENSITY


@dataclass(frozen=True, eq=False)
class CameraView:
    """Instances and projection of one image of a cloud, each at the time of its sensor."""

    instances: list[Instance]
    intrinsics_33: Array
    camera_from_lidar_44: Array
    size: tuple[int, int]  # height, width


def lift(
    points_P4: Points, views: Iterable[CameraView], per_mask: int, generator: np.random.Generator
) -> Points:
    """Painted and then virtual points [., 6] of a cloud, in its frame; for the columns see reader.py.

    A point in masks of two cameras is painted twice.
    """
    painted, virtual = [np.zeros((0, ROW), np.float32)], [np.zeros((0, ROW), np.float32)]
    for view in views:
        for instance, inside_K, virtual_V3 in _lifted(points_P4, view, per_mask, generator):
            marks = np.array([instance.label, instance.score], dtype=np.float32)
            painted.append(np.hstack([points_P4[inside_K], np.tile(marks, (len(inside_K), 1))]))
            columns = np.array([VIRTUAL_INTENSITY, *marks], dtype=np.float32)
            virtual.append(np.hstack([virtual_V3.astype(np.float32), np.tile(columns, (len(virtual_V3), 1))]))
    return np.concatenate([*painted, *virtual])


def _lifted(
    points_P4: Points, view: CameraView, per_mask: int, generator: np.random.Generator
) -> Iterable[tuple[Instance, np.ndarray, Array]]:
    """Instances with LiDAR points in their mask, the indices of these, and the virtual points [V, 3]."""
    camera_P3 = move_points(view.camera_from_lidar_44, points_P4[:, :3].astype(np.float64))
    pixels_P3 = project(view.intrinsics_33, camera_P3)
    height, width = view.size
    visible = pixels_P3[:, 2] > 0
    visible &= ((pixels_P3[:, :2] >= 0) & (pixels_P3[:, :2] < (width, height))).all(axis=1)
    visible_P = np.flatnonzero(visible)
    column_P, row_P = np.floor(pixels_P3[visible_P, :2]).astype(np.int64).T
    instances = ranked(view.instances)
    owner_P = _owners(instances, view.size)[row_P, column_P]
    for number, instance in enumerate(instances):
        # drawn for every mask, so that the LiDAR points do not shift the draws of the next mask
        row_V, column_V = _sample(instance.mask_HW, per_mask, generator)
        inside = np.flatnonzero(owner_P == number)
        if len(inside) == 0:
            continue
        gap_VK = (row_V[:, None] - row_P[inside]) ** 2 + (column_V[:, None] - column_P[inside]) ** 2
        depth_V = pixels_P3[visible_P[inside], 2][gap_VK.argmin(axis=1)]
        # a pixel spans [column, column + 1): its centre is half a pixel further
        pixel_V3 = np.stack([column_V + 0.5, row_V + 0.5, np.ones(len(row_V))], axis=1)
        ray_V3 = pixel_V3 @ np.linalg.inv(view.intrinsics_33).T
        lidar_V3 = move_points(inverse(view.camera_from_lidar_44), ray_V3 * depth_V[:, None])
        yield instance, visible_P[inside], lidar_V3


def _owners(instances: list[Instance], size: tuple[int, int]) -> np.ndarray:
    """Index of the first instance that covers each pixel; -1 for none."""
    owner_HW = np.full(size, -1, dtype=np.int64)
    for number in reversed(range(len(instances))):
        owner_HW[instances[number].mask_HW] = number
    return owner_HW


def _sample(mask_HW: Mask, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of random pixels of a mask, without repetition; a small mask repeats the first."""
    pixels = np.flatnonzero(mask_HW)
    drawn = generator.permutation(pixels)[:count]
    drawn = np.concatenate([drawn, np.repeat(drawn[:1], count - len(drawn))])
    row, column = np.divmod(drawn, mask_HW.shape[1])
    return row, column
