"""Meshes that rays can hit. Axes: N rays, T triangles."""

from __future__ import annotations

import functools

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore import EmbreeDevice
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from dualdistill.world.geometry.mesh import Floats, Mesh

FAR_M = np.float32(1e4)  # where rays that meet nothing are said to end


@functools.cache
def _device() -> EmbreeDevice:
    """One for all meshes of a process: setting it up takes longer than building a small mesh."""
    return EmbreeDevice()


class Solid:
    """A mesh that rays can hit."""

    def __init__(self, mesh: Mesh) -> None:
        # robust: rays must not slip between neighbouring triangles
        self._scene = EmbreeScene(_device(), robust=True)
        self._mesh = TriangleMesh(self._scene, np.ascontiguousarray(mesh.corners_T33, dtype=np.float32))

    def hit(self, origins_3: Floats, rays_N3: Floats) -> tuple[NDArray[np.int32], Floats]:
        """Nearest triangle (-1: none) and distance in ray lengths; rays have one origin or one each."""
        found = self._scene.run(np.broadcast_to(origins_3, rays_N3.shape), rays_N3, output=True)
        return found["primID"], np.minimum(found["tfar"], FAR_M)

    def blocks(self, points_N3: Floats, towards_3: Floats) -> NDArray[np.bool_]:
        """Which points see something of this mesh in a direction."""
        return self._scene.run(points_N3, np.broadcast_to(towards_3, points_N3.shape), query="OCCLUDED") >= 0


class Body:
    """What does not change while something moves."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh, self.solid, self.normals_T3 = mesh, Solid(mesh), mesh.normals_T3
        low, high = mesh.bounds
        self.middle_m, self.radius_m = (high[2] - low[2]) / 2, np.linalg.norm(high - low) / 2
