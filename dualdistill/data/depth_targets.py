"""Depth targets of the student: the nearest LiDAR point per cell of the lifted map, and the box it lies in.

Only points of the key frame are used, without sweeps (`depth_points` says which), and depth is camera z: BEV
augmentation, its scale included, changes neither. As published, a pixel belongs to the cell
round(pixel / stride), so cell j is centred on pixel stride x j. Binning is left to the model.
Axes: N cameras, h w cells, c = h x w, P points, K boxes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dualdistill.data.geometry import Array, move_points, points_in_box

NEAREST_M = 1.0  # as in both published students; nearer returns come from the car itself


def depth_targets(
    points_P3: NDArray[np.float32], projection_N34: Array, size: tuple[int, int], stride: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Metres [N, h, w] for network images of a (height, width), and the point's index; 0 and -1 for none.

    A projection is image affine @ intrinsics @ (LIDAR_TOP to camera), each at the time of its sensor: it
    yields (u z, v z, z) in network pixels.
    """
    rows, columns = size[0] // stride, size[1] // stride
    depth_Nc = np.zeros((len(projection_N34), rows * columns), dtype=np.float32)
    nearest_Nc = np.full(depth_Nc.shape, -1, dtype=np.int64)
    for depth_c, nearest_c, matrix_34 in zip(depth_Nc, nearest_Nc, projection_N34, strict=True):
        u_P, v_P, depth_P = move_points(matrix_34, points_P3).T
        point_P = np.flatnonzero(depth_P >= NEAREST_M)
        column_P = np.round(u_P[point_P] / (depth_P[point_P] * stride))
        row_P = np.round(v_P[point_P] / (depth_P[point_P] * stride))
        inside_P = (column_P >= 0) & (column_P < columns) & (row_P >= 0) & (row_P < rows)
        point_P, cell_P = point_P[inside_P], (row_P * columns + column_P)[inside_P].astype(np.int64)
        # far to near: the last value written to a cell, the nearest, stays
        order_P = np.argsort(-depth_P[point_P], kind="stable")
        nearest_c[cell_P[order_P]] = point_P[order_P]
        depth_c[cell_P[order_P]] = depth_P[point_P[order_P]]
    return depth_Nc.reshape(-1, rows, columns), nearest_Nc.reshape(-1, rows, columns)


def owners(
    nearest_Nhw: NDArray[np.int64], points_P3: NDArray[np.float32], boxes_K9: Array
) -> NDArray[np.int64]:
    """1 + the index of the box that contains a cell's point, 0 for none; of overlapping boxes, the last."""
    owner_Nhw = np.zeros_like(nearest_Nhw)
    hit_Nhw = nearest_Nhw >= 0
    nearest_P3 = points_P3[nearest_Nhw[hit_Nhw]]
    owner_P = np.zeros(len(nearest_P3), dtype=np.int64)
    for number, box_9 in enumerate(boxes_K9, start=1):
        owner_P[points_in_box(box_9, nearest_P3)] = number
    owner_Nhw[hit_Nhw] = owner_P
    return owner_Nhw


def projection(affine_33: Array, intrinsics_33: Array, camera_from_lidar_44: Array) -> Array:
    """LIDAR_TOP to (u z, v z, z) of a network image, [3, 4]."""
    return np.asarray(affine_33 @ intrinsics_33 @ camera_from_lidar_44[:3])
