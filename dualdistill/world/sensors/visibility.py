"""Visibility of objects: pixels visible in the cameras over pixels that they would fill unoccluded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualdistill.world.geometry.mesh import Floats, floats, rotation
from dualdistill.world.scene.scene import Scene
from dualdistill.world.sensors.rig import Pose, Sensor, image_window, outside_view_m

SAMPLES = 12  # rows and columns sampled per object and camera
# nuScenes' visibility tokens, each with its largest visible share
LEVELS = ((0.4, "1"), (0.6, "2"), (0.8, "3"), (1.0, "4"))


@dataclass(frozen=True)
class CameraView:
    """The instance mask of one camera at a key frame."""

    sensor: Sensor
    pose: Pose  # camera to world
    time: float
    rays_N3: Floats  # in camera coordinates
    instances_HW: NDArray[np.uint16]


def visibility_level(scene: Scene, instance: int, views: list[CameraView]) -> str:
    """The visibility token of an object in a key frame."""
    visible = possible = 0
    for view in views:
        visible_here, possible_here = _count_pixels(scene, instance, view)
        visible, possible = visible + visible_here, possible + possible_here
    share = visible / possible if possible else 0.0
    return next(token for largest, token in LEVELS if share <= largest)


def _count_pixels(scene: Scene, instance: int, view: CameraView) -> tuple[int, int]:
    """Visible and possible pixels of an object in one camera, on a grid of samples.

    Possible pixels are found by casting rays at the object's mesh alone.
    """
    actor, pose = scene.actors[instance - 1], view.pose
    xy, yaw = scene.place(instance, view.time)
    at = np.array([xy[0], xy[1], 0.0])
    if outside_view_m((at - pose.translation_3) @ pose.rotation_33, view.sensor) > max(actor.asset.size_lwh):
        return 0, 0
    to_world = rotation(yaw)
    height, width = view.instances_HW.shape
    window = image_window(actor.asset.corners_83 @ to_world.T + at, pose, view.sensor, (height, width))
    if window is None:
        return 0, 0
    grid = tuple(slice(span.start, span.stop, max(1, (span.stop - span.start) // SAMPLES)) for span in window)
    rays_N3 = view.rays_N3.reshape(height, width, 3)[grid].reshape(-1, 3)
    local_N3 = np.ascontiguousarray(rays_N3 @ floats((to_world.T @ pose.rotation_33).T))
    triangle, _ = actor.asset.body.tracer.nearest_hit(
        floats(to_world.T @ (pose.translation_3 - at)), local_N3
    )
    visible = (triangle >= 0) & (view.instances_HW[grid].reshape(-1) == instance)
    return int(visible.sum()), int((triangle >= 0).sum())
