"""Depth targets for the student: the nearest LiDAR point of every cell of the lifted map, in metres.

Only the key frame's own points are used, before sweeps are merged, and depth is camera z: augmenting the BEV,
its scale included, changes neither. As published, a pixel belongs to the cell round(pixel / stride), so
cell j is centred on pixel stride x j. Which bin a depth falls into is the model's business.
Axes: N cameras, h w cells, P points.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dualdistill.data.geometry import Array, move_points

NEAREST_M = 1.0  # both published students start here; nearer returns come from the car itself


def depth_targets(
    points_P3: NDArray[np.float32], projection_N34: Array, size: tuple[int, int], stride: int
) -> NDArray[np.float32]:
    """Metres [N, h, w] for network images of a height and width; 0 where no point falls.

    A projection is image affine @ intrinsics @ (LIDAR_TOP to camera), each at its sensor's own time: it
    yields (u z, v z, z) in network pixels.
    """
    rows, columns = size[0] // stride, size[1] // stride
    targets = np.full((len(projection_N34), rows * columns), np.inf, dtype=np.float32)
    for target, matrix_34 in zip(targets, projection_N34, strict=True):
        u_P, v_P, depth_P = move_points(matrix_34, points_P3).T
        ahead = depth_P >= NEAREST_M
        depth_P = depth_P[ahead]
        column_P = np.round(u_P[ahead] / (depth_P * stride))
        row_P = np.round(v_P[ahead] / (depth_P * stride))
        inside = (column_P >= 0) & (column_P < columns) & (row_P >= 0) & (row_P < rows)
        cell_P = (row_P[inside] * columns + column_P[inside]).astype(np.int64)
        np.minimum.at(target, cell_P, depth_P[inside])
    targets[np.isinf(targets)] = 0
    return targets.reshape(-1, rows, columns)


def projection(affine_33: Array, intrinsics_33: Array, camera_from_lidar_44: Array) -> Array:
    """LIDAR_TOP to (u z, v z, z) of a network image, [3, 4]."""
    return np.asarray(affine_33 @ intrinsics_33 @ camera_from_lidar_44[:3])
