"""Depth targets for the student: the nearest key-frame LiDAR point of every stride-16 cell, in metres.

Only the key frame's own points are used, before sweeps are merged, and depth is camera z: augmenting the BEV,
its scale included, changes neither. As published, a pixel belongs to the cell round(pixel / 16), so cell j is
centred on pixel 16 j. Which bin a depth falls into is the model's business. Axes: N cameras, h w cells, P
points.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dualdistill.data.geometry import Array, move_points, project

STRIDE = 16
NEAREST_M = 1.0  # both published students start here; nearer returns come from the car itself


def depth_target(
    points_P3: NDArray[np.float32],
    camera_from_lidar_44: Array,
    intrinsics_33: Array,
    image_affine_33: Array,
    size: tuple[int, int],
) -> NDArray[np.float32]:
    """Metres [h, w] for a network image of the given height and width; 0 where no point falls."""
    rows, columns = size[0] // STRIDE, size[1] // STRIDE
    camera_P3 = move_points(camera_from_lidar_44, points_P3)
    camera_P3 = camera_P3[camera_P3[:, 2] >= NEAREST_M]
    pixels_P3 = project(intrinsics_33, camera_P3)
    network_P2 = pixels_P3[:, :2] @ image_affine_33[:2, :2].T.astype(np.float32) + image_affine_33[:2, 2]
    cell_P2 = np.round(network_P2 / STRIDE)
    inside = ((cell_P2 >= 0) & (cell_P2 < (columns, rows))).all(axis=1)
    flat_P = cell_P2[inside, 1].astype(np.int64) * columns + cell_P2[inside, 0].astype(np.int64)
    nearest = np.full(rows * columns, np.inf, dtype=np.float32)
    np.minimum.at(nearest, flat_P, pixels_P3[inside, 2].astype(np.float32))
    nearest[np.isinf(nearest)] = 0
    return nearest.reshape(rows, columns)
