"""Virtual points: pixels of an instance's mask at the depth of the nearest LiDAR point that the mask holds.

Yin, Zhou, Krähenbühl, Multimodal Virtual Point 3D Detection, NeurIPS 2021. The cloud's own points within a
mask are painted, which is to say repeated with the mask's class and score. Axes: P points, K LiDAR points
that a mask holds, V virtual points, H W image rows and columns.
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
class View:
    """One image of a cloud: what is in it, and where its camera looked, each at its sensor's own time."""

    instances: list[Instance]
    intrinsics_33: Array
    camera_from_lidar_44: Array
    size: tuple[int, int]  # height, width


def lift(points_P4: Points, views: Iterable[View], per_mask: int, generator: np.random.Generator) -> Points:
    """Painted and then virtual points [., 6] of a cloud, in its own frame; data/virtual.py names the columns.

    A point that two cameras show within a mask is painted by each.
    """
    painted, virtual = [np.zeros((0, ROW), np.float32)], [np.zeros((0, ROW), np.float32)]
    for view in views:
        for instance, held_K, virtual_V3 in _lifted(points_P4, view, per_mask, generator):
            marks = np.array([instance.label, instance.score], dtype=np.float32)
            painted.append(np.hstack([points_P4[held_K], np.tile(marks, (len(held_K), 1))]))
            told = np.array([VIRTUAL_INTENSITY, *marks], dtype=np.float32)
            virtual.append(np.hstack([virtual_V3.astype(np.float32), np.tile(told, (len(virtual_V3), 1))]))
    return np.concatenate([*painted, *virtual])


def _lifted(
    points_P4: Points, view: View, per_mask: int, generator: np.random.Generator
) -> Iterable[tuple[Instance, np.ndarray, Array]]:
    """The instances that hold LiDAR points: which ones, and the virtual points [V, 3]."""
    camera_P3 = move_points(view.camera_from_lidar_44, points_P4[:, :3].astype(np.float64))
    seen_P3 = project(view.intrinsics_33, camera_P3)
    height, width = view.size
    ahead = seen_P3[:, 2] > 0
    ahead &= ((seen_P3[:, :2] >= 0) & (seen_P3[:, :2] < (width, height))).all(axis=1)
    inside_P = np.flatnonzero(ahead)
    column_P, row_P = np.floor(seen_P3[inside_P, :2]).astype(np.int64).T
    instances = ranked(view.instances)
    owner_P = _owners(instances, view.size)[row_P, column_P]
    for number, instance in enumerate(instances):
        # drawn for every mask: what the LiDAR hits does not shift the draws of the next one
        row_V, column_V = _sample(instance.mask_HW, per_mask, generator)
        held = np.flatnonzero(owner_P == number)
        if len(held) == 0:
            continue
        gap_VK = (row_V[:, None] - row_P[held]) ** 2 + (column_V[:, None] - column_P[held]) ** 2
        depth_V = seen_P3[inside_P[held], 2][gap_VK.argmin(axis=1)]
        # a pixel spans [column, column + 1), so its middle is half a pixel on
        pixel_V3 = np.stack([column_V + 0.5, row_V + 0.5, np.ones(len(row_V))], axis=1)
        ray_V3 = pixel_V3 @ np.linalg.inv(view.intrinsics_33).T
        lidar_V3 = move_points(inverse(view.camera_from_lidar_44), ray_V3 * depth_V[:, None])
        yield instance, inside_P[held], lidar_V3


def _owners(instances: list[Instance], size: tuple[int, int]) -> np.ndarray:
    """The instance that each pixel belongs to, the first that covers it; -1 for none."""
    owner_HW = np.full(size, -1, dtype=np.int64)
    for number in reversed(range(len(instances))):
        owner_HW[instances[number].mask_HW] = number
    return owner_HW


def _sample(mask_HW: Mask, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of pixels of a mask, none twice; a smaller mask repeats the first one drawn."""
    pixels = np.flatnonzero(mask_HW)
    drawn = generator.permutation(pixels)[:count]
    drawn = np.concatenate([drawn, np.repeat(drawn[:1], count - len(drawn))])
    row, column = np.divmod(drawn, mask_HW.shape[1])
    return row, column
