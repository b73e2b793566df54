"""Ray tracing of meshes with Embree. Axes: N rays, T triangles."""

from __future__ import annotations

import functools

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore import EmbreeDevice
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from dualdistill.world.geometry.mesh import Floats, Mesh

FAR_M = np.float32(1e4)  # the distance recorded for rays that hit nothing


@functools.cache
def _device() -> EmbreeDevice:
    """The device shared by all meshes of a process: setting it up takes longer than building a small mesh."""
    return EmbreeDevice()


class RayTracer:
    """Ray queries against one mesh."""

    def __init__(self, mesh: Mesh) -> None:
        # robust mode: no ray may slip between neighbouring triangles
        self._scene = EmbreeScene(_device(), robust=True)
        self._mesh = TriangleMesh(self._scene, np.ascontiguousarray(mesh.corners_T33, dtype=np.float32))

    def nearest_hit(self, origins_3: Floats, rays_N3: Floats) -> tuple[NDArray[np.int32], Floats]:
        """Nearest triangle (-1: none) and distance in ray lengths; rays share an origin or have one each."""
        hits = self._scene.run(np.broadcast_to(origins_3, rays_N3.shape), rays_N3, output=True)
        return hits["primID"], np.minimum(hits["tfar"], FAR_M)

    def occludes(self, points_N3: Floats, direction_3: Floats) -> NDArray[np.bool_]:
        """Mask of the points from which a ray in the direction hits this mesh."""
        rays_N3 = np.broadcast_to(direction_3, points_N3.shape)
        return self._scene.run(points_N3, rays_N3, query="OCCLUDED") >= 0


class RigidBody:
    """A mesh with its ray tracer, normals and bounding sphere, in the object's own frame."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh, self.tracer, self.normals_T3 = mesh, RayTracer(mesh), mesh.normals_T3
        low, high = mesh.bounds
        self.middle_m, self.radius_m = (high[2] - low[2]) / 2, np.linalg.norm(high - low) / 2
