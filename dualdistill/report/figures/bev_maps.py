"""Shared by the pictures: a probe file's arrays, boxes from above and in a camera, maps on the ground.

Axes: K boxes, N cameras, H W BEV rows (y) and columns (x).
"""

from __future__ import annotations

import zipfile
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from dualdistill.data.geometry import Array, corners
from dualdistill.errors import DataError
from dualdistill.plan.figures import FigureView, probe_file
from dualdistill.plan.plan import Plan
from dualdistill.report.figures import layout

NEAR_M = 0.3  # in front of a camera, where the edge of a box is cut off
# pairs of corners as geometry.corners orders them: front before rear, left before right, top before bottom
EDGES = np.array([(a, b) for a in range(8) for b in range(a) if bin(a ^ b).count("1") == 1])
TOP = [0, 2, 6, 4]  # around the top face


def read(view: FigureView, *names: str) -> dict[str, NDArray[Any]]:
    """The arrays that the probe left for a view."""
    path, again = probe_file(view), f"python -m dualdistill probe {view.name}"
    if not path.exists():
        raise DataError("the probe file does not exist", where=str(path), hint=again)
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"the probe file cannot be read: {error}", where=str(path), hint=again) from error
    for name in names:
        if name not in arrays:
            raise DataError(f"the probe file has no '{name}'", where=str(path), hint=again)
    return arrays


def caption(plan: Plan, view: FigureView) -> str:
    """The key frame and the networks in words."""
    place = f"key frame {view.options['frame']} of scene {view.options['scene']}"
    return f"{plan.data.printed_name}, split {plan.settings.split}, {place}; {layout.networks(plan, view)}."


def boxes_above(axes: Axes, boxes_K9: Array, **style: Any) -> None:
    """Outlines from above, with a stroke from the centre to the front."""
    eight_K83 = corners(boxes_K9)
    outlines = eight_K83[:, [*TOP, TOP[0]], :2]
    fronts_K2 = eight_K83[:, :4, :2].mean(axis=1)
    strokes = np.stack([boxes_K9[:, :2], fronts_K2], axis=1)
    axes.add_collection(LineCollection([*outlines, *strokes], **style))


def boxes_in_camera(
    axes: Axes, boxes_K9: Array, lidar_to_camera_44: Array, intrinsics_33: Array, **style: Any
) -> None:
    """The twelve edges of every box, cut off where they pass the camera."""
    eight_K83 = corners(boxes_K9) @ lidar_to_camera_44[:3, :3].T + lidar_to_camera_44[:3, 3]
    ends_E23 = eight_K83[:, EDGES].reshape(-1, 2, 3)
    seen = (ends_E23[:, :, 2] > NEAR_M).any(axis=1)
    near_first = np.sort(ends_E23[seen, :, 2], axis=1)
    order = np.argsort(ends_E23[seen, :, 2], axis=1)[:, :, None]
    low_E3, high_E3 = np.moveaxis(np.take_along_axis(ends_E23[seen], order, axis=1), 1, 0)
    depth_E = near_first[:, 1] - near_first[:, 0]
    share_E = np.clip((NEAR_M - near_first[:, 0]) / np.maximum(depth_E, 1e-9), 0, 1)
    cut_E23 = np.stack([low_E3 + share_E[:, None] * (high_E3 - low_E3), high_E3], axis=1)
    pixels_E23 = cut_E23 @ intrinsics_33.T
    axes.add_collection(LineCollection(pixels_E23[..., :2] / pixels_E23[..., 2:], **style))


def on_ground(axes: Axes, map_HW: Array, half_extent_m: float, **style: Any) -> AxesImage:
    """Draw a BEV map in metres: x to the right, y ahead."""
    side = (-half_extent_m, half_extent_m)
    image = axes.imshow(map_HW, origin="lower", extent=(*side, *side), **style)
    frame_ground(axes, half_extent_m)
    return image


def frame_ground(axes: Axes, half_extent_m: float) -> None:
    axes.set(xlim=(-half_extent_m, half_extent_m), ylim=(-half_extent_m, half_extent_m), aspect="equal")
    axes.grid(visible=False)
