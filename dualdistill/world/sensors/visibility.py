"""How much of an object the cameras see: its visible pixels over those it fills with nothing before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualdistill.world.geometry.mesh import Floats, floats, rotation
from dualdistill.world.scene.scene import Scene
from dualdistill.world.sensors.rig import Pose, Sensor, image_window, outside_view_m

SAMPLES = 12  # rows and columns looked at per object and camera
LEVELS = ((0.4, "1"), (0.6, "2"), (0.8, "3"), (1.0, "4"))  # nuScenes' visibility tokens by largest share


@dataclass(frozen=True)
class CameraView:
    """One camera's picture of a key frame."""

    sensor: Sensor
    pose: Pose  # of the camera
    time: float
    rays_N3: Floats  # in camera coordinates
    instances_HW: NDArray[np.uint16]


class Silhouettes:
    """The objects of a scene on their own, each without its surroundings."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def level(self, instance: int, views: list[CameraView]) -> str:
        """The visibility token of an object in a frame."""
        visible = possible = 0
        for view in views:
            seen, there = self._count(instance, view)
            visible, possible = visible + seen, possible + there
        share = visible / possible if possible else 0.0
        return next(token for largest, token in LEVELS if share <= largest)

    def _count(self, instance: int, view: CameraView) -> tuple[int, int]:
        """(visible, possible) pixels in one camera, on a grid of samples."""
        actor, pose = self._scene.actors[instance - 1], view.pose
        xy, yaw = self._scene.place(instance, view.time)
        at = np.array([xy[0], xy[1], 0.0])
        if outside_view_m((at - pose.translation_3) @ pose.rotation_33, view.sensor) > max(
            actor.asset.size_lwh
        ):
            return 0, 0
        upright = rotation(yaw)
        height, width = view.instances_HW.shape
        whole = image_window(actor.asset.corners_83 @ upright.T + at, pose, view.sensor, (height, width))
        if whole is None:
            return 0, 0
        part = tuple(
            slice(span.start, span.stop, max(1, (span.stop - span.start) // SAMPLES)) for span in whole
        )
        rays = view.rays_N3.reshape(height, width, 3)[part].reshape(-1, 3)
        turned = np.ascontiguousarray(rays @ floats((upright.T @ pose.rotation_33).T))
        triangle, _ = actor.asset.body.tracer.nearest_hit(
            floats(upright.T @ (pose.translation_3 - at)), turned
        )
        visible = (triangle >= 0) & (view.instances_HW[part].reshape(-1) == instance)
        return int(visible.sum()), int((triangle >= 0).sum())
