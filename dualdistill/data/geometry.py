"""Rigid transforms and boxes in float64.

A transform, named target_from_source or source_to_target, is a 4x4 that acts on columns (x, y, z, 1).
LIDAR_TOP: x right, y forward, z up, metres. Camera: x right, y down, z forward; an image spans 0..W, 0..H, so
the centre of its first pixel is (0.5, 0.5). Boxes are the rows of batch.py: (x, y, z, l, w, h, yaw, vx, vy),
gravity centre, yaw counter-clockwise from +x. Axes: ... any leading shape, K boxes, P points.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]
NEAR_M = 0.01  # above the rounding of a coordinate in float32


def rigid(wxyz: ArrayLike, translation: ArrayLike) -> Array:
    """Transforms [..., 4, 4] from quaternions w, x, y, z and translations: rotation first."""
    rotation = Rotation.from_quat(wxyz, scalar_first=True).as_matrix()
    transform = np.zeros((*rotation.shape[:-2], 4, 4))
    transform[..., :3, :3] = rotation
    transform[..., :3, 3] = translation
    transform[..., 3, 3] = 1
    return transform


def inverse(transform: Array) -> Array:
    """Invert transforms [..., 4, 4] made of rotation, mirroring, one uniform scale and translation."""
    result = np.zeros_like(transform)
    square = (transform[..., :3, :1] ** 2).sum(axis=-2, keepdims=True)  # M M^T = scale^2 I
    linear = np.swapaxes(transform[..., :3, :3], -1, -2) / square
    result[..., :3, :3] = linear
    result[..., :3, 3] = -(linear @ transform[..., :3, 3:])[..., 0]
    result[..., 3, 3] = 1
    return result


def move_points(transform: Array, points_P3: NDArray[np.floating]) -> NDArray[np.floating]:
    """Apply the upper three rows of a 4x4 to points; keeps their dtype."""
    if len(points_P3) == 0:
        return points_P3.copy()
    # not numpy's matmul: BLAS would start threads for it, and several loader processes share the cores
    return np.asarray(
        cv2.transform(np.ascontiguousarray(points_P3)[:, None], transform[:3])[:, 0], points_P3.dtype
    )


def move_boxes(affine: Array, boxes_K9: Array) -> Array:
    """Apply a 4x4 of rotation about z, flips and one scale to centre, size, heading and velocity."""
    scale = abs(np.linalg.det(affine[:3, :3])) ** (1 / 3)
    flat = affine[:2, :2]
    heading_K2 = np.stack([np.cos(boxes_K9[:, 6]), np.sin(boxes_K9[:, 6])], axis=1) @ flat.T
    moved = np.empty_like(boxes_K9)
    moved[:, :3] = move_points(affine, boxes_K9[:, :3])
    moved[:, 3:6] = boxes_K9[:, 3:6] * scale
    moved[:, 6] = np.arctan2(heading_K2[:, 1], heading_K2[:, 0])
    moved[:, 7:9] = boxes_K9[:, 7:9] @ flat.T
    return moved


def boxes_from_global(
    lidar_to_global: Array, centre_K3: Array, size_wlh_K3: Array, wxyz_K4: Array, velocity_K3: Array
) -> Array:
    """Convert annotations as nuScenes stores them to boxes in the LIDAR_TOP frame.

    The heading is the box's x axis seen from above, as the devkit measures it; the vertical speed is dropped
    before the rotation because neither the heads nor the evaluation use it.
    """
    lidar_from_global = inverse(lidar_to_global)
    rotation = lidar_from_global[:3, :3]
    heading_K3 = Rotation.from_quat(wxyz_K4, scalar_first=True).as_matrix()[:, :, 0] @ rotation.T
    flat_velocity_K3 = velocity_K3 * (1.0, 1.0, 0.0)
    boxes = np.empty((len(centre_K3), 9))
    boxes[:, :3] = move_points(lidar_from_global, centre_K3)
    boxes[:, 3:6] = size_wlh_K3[:, (1, 0, 2)]
    boxes[:, 6] = np.arctan2(heading_K3[:, 1], heading_K3[:, 0])
    boxes[:, 7:9] = (flat_velocity_K3 @ rotation.T)[:, :2]
    return boxes


def corners(boxes_K9: Array) -> Array:
    """The eight corners [K, 8, 3]: front before rear, left before right, top before bottom."""
    signs = np.array([(x, y, z) for x in (1, -1) for y in (1, -1) for z in (1, -1)]) / 2
    local = signs * boxes_K9[:, None, 3:6]
    cosine, sine = np.cos(boxes_K9[:, 6, None]), np.sin(boxes_K9[:, 6, None])
    rotated = np.stack(
        [
            local[..., 0] * cosine - local[..., 1] * sine,
            local[..., 0] * sine + local[..., 1] * cosine,
            local[..., 2],
        ],
        axis=-1,
    )
    return rotated + boxes_K9[:, None, :3]


def points_in_box(box_9: Array, points_P3: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Mask of the points inside a box, its surface included."""
    # of a cloud of 300,000 points few lie near a box: one cheap comparison leaves out most
    reach = np.hypot(box_9[3], box_9[4]) / 2 + NEAR_M
    near_P = np.flatnonzero(np.abs(points_P3[:, 0] - box_9[0]) <= reach)
    offset = points_P3[near_P] - box_9[:3]
    cosine, sine = np.cos(box_9[6]), np.sin(box_9[6])
    along = offset[:, 0] * cosine + offset[:, 1] * sine
    across = offset[:, 1] * cosine - offset[:, 0] * sine
    held = (abs(along) <= box_9[3] / 2) & (abs(across) <= box_9[4] / 2) & (abs(offset[:, 2]) <= box_9[5] / 2)
    inside_P = np.zeros(len(points_P3), dtype=bool)
    inside_P[near_P[held]] = True
    return inside_P


def project(intrinsics_33: Array, points_P3: NDArray[np.floating]) -> NDArray[np.floating]:
    """Pixels (u, v) and depth (camera z, metres) of points in a camera's frame; valid where depth > 0."""
    projected = points_P3 @ intrinsics_33.T.astype(points_P3.dtype)
    depth = points_P3[:, 2:3]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.hstack([projected[:, :2] / depth, depth])
