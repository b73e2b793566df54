"""How much of an object the cameras see: its visible pixels over those it would fill if nothing stood before it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dualdistill.world.cast import Solid
from dualdistill.world.mesh import Floats, turn
from dualdistill.world.motion import Array
from dualdistill.world.sensors import Pose, Sensor
from dualdistill.world.traffic import Actor

SAMPLES = 18  # rows and columns looked at per object and camera
LEVELS = ((0.4, "1"), (0.6, "2"), (0.8, "3"), (2.0, "4"))


def level(share: float) -> str:
    """nuScenes' visibility token of a share in 0..1."""
    return next(token for limit, token in LEVELS if share <= limit)


class Silhouettes:
    """Objects on their own, each cast against without its surroundings."""

    def __init__(self, actors: tuple[Actor, ...]) -> None:
        self._actors = actors
        self._solids: dict[int, Solid] = {}

    def count(
        self,
        instance: int,
        place: tuple[Array, float],
        pose: Pose,
        camera: Sensor,
        rays_N3: Floats,
        instances_HW: NDArray[np.uint16],
    ) -> tuple[int, int]:
        """(visible, possible) pixels of one object in one camera, on a grid of samples."""
        actor = self._actors[instance - 1]
        upright = turn(place[1])
        window = _window(actor.asset.size_lwh, place[0], upright, pose, camera, instances_HW.shape)
        if window is None:
            return 0, 0
        if instance not in self._solids:
            self._solids[instance] = Solid(actor.asset.mesh)
        rays = rays_N3.reshape(*instances_HW.shape, 3)[window].reshape(-1, 3)
        to_object = upright.T @ pose.rotation_33
        turned = np.ascontiguousarray(rays @ to_object.T.astype(np.float32))
        shift = np.array([place[0][0], place[0][1], 0.0])
        origin = (upright.T @ (pose.translation_3 - shift)).astype(np.float32)
        triangle, _ = self._solids[instance].hit(np.broadcast_to(origin, turned.shape), turned)
        possible = triangle >= 0
        visible = possible & (instances_HW[window].reshape(-1) == instance)
        return int(visible.sum()), int(possible.sum())


def _window(
    size_lwh: tuple[float, float, float],
    xy: Array,
    upright_33: Array,
    pose: Pose,
    camera: Sensor,
    shape: tuple[int, ...],
) -> tuple[slice, slice] | None:
    """A strided part of the image that holds the object's box; None if the box is out of view."""
    assert camera.intrinsics_33 is not None
    signs = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0.0, 1.0)])
    corners = (signs * size_lwh) @ upright_33.T + (xy[0], xy[1], 0.0)
    seen = (corners - pose.translation_3) @ pose.rotation_33
    if np.all(seen[:, 2] < 0.1):
        return None
    height, width = shape
    if np.any(seen[:, 2] < 0.1):
        low, high = np.zeros(2), np.array([width, height])
    else:
        pixels = seen @ camera.intrinsics_33.T
        pixels = pixels[:, :2] / pixels[:, 2:]
        low, high = np.clip(pixels.min(0), 0, (width, height)), np.clip(pixels.max(0), 0, (width, height))
    first, last = np.floor(low).astype(int), np.ceil(high).astype(int)
    if np.any(last <= first):
        return None
    step = np.maximum(1, (last - first) // SAMPLES)
    return slice(first[1], last[1], step[1]), slice(first[0], last[0], step[0])
