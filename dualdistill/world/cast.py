"""One geometry for all sensors: what stands is built once per scene, what moves is rebuilt at each instant.

Axes: N rays, T triangles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from dualdistill.world.light import Light
from dualdistill.world.mesh import Floats, Mesh, join
from dualdistill.world.sensors import Pose

MISS = np.float32(1e30)


class Solid:
    """A mesh that rays can hit."""

    def __init__(self, mesh: Mesh) -> None:
        # robust: rays must not slip between neighbouring triangles
        self._scene = EmbreeScene(robust=True)
        self._mesh = TriangleMesh(self._scene, np.ascontiguousarray(mesh.corners_T33, dtype=np.float32))

    def hit(self, origins_N3: Floats, rays_N3: Floats) -> tuple[NDArray[np.int32], Floats]:
        """Nearest triangle (-1: none) and distance in units of the ray's length."""
        found = self._scene.run(origins_N3, rays_N3, output=True)
        triangle, distance = found["primID"], found["tfar"]
        return triangle, np.where(triangle >= 0, distance, MISS)

    def blocks(self, origins_N3: Floats, rays_N3: Floats) -> NDArray[np.bool_]:
        return self._scene.run(origins_N3, rays_N3, query="OCCLUDED") >= 0


@dataclass(frozen=True)
class Surface:
    """A mesh with what shading needs, and which instance (1, 2, ...; 0 is background) owns each triangle."""

    mesh: Mesh
    normals_T3: Floats
    shadow_T3: Floats
    sun_T3: Floats
    instance_T: NDArray[np.uint16]

    @staticmethod
    def of(mesh: Mesh, instance_T: NDArray[np.uint16], light: Light) -> Surface:
        normals = mesh.normals_T3
        return Surface(mesh, normals, *light.shade(mesh, normals), instance_T)

    def __add__(self, other: Surface) -> Surface:
        return Surface(
            join([self.mesh, other.mesh]),
            np.concatenate([self.normals_T3, other.normals_T3]),
            np.concatenate([self.shadow_T3, other.shadow_T3]),
            np.concatenate([self.sun_T3, other.sun_T3]),
            np.concatenate([self.instance_T, other.instance_T]),
        )


@dataclass(frozen=True)
class Hits:
    """What each ray met: a triangle of `surface` (-1: nothing) at a distance in ray lengths."""

    surface: Surface
    triangle_N: NDArray[np.int32]
    distance_N: Floats
    origin_3: Floats
    rays_N3: Floats
    solids: tuple[Solid, ...]

    @property
    def instance_N(self) -> NDArray[np.uint16]:
        return np.where(
            self.triangle_N >= 0, self.surface.instance_T.take(self.triangle_N, mode="clip"), np.uint16(0)
        )

    def lit(self, wanted: NDArray[np.intp], sun_3: Floats) -> NDArray[np.bool_]:
        """Of the rays wanted, those whose hit the sun reaches."""
        points = self.rays_N3.take(wanted, axis=0)
        points *= self.distance_N[wanted, None]
        points += self.origin_3
        points += self.surface.normals_T3.take(self.triangle_N[wanted], axis=0) * np.float32(0.015)
        towards = np.broadcast_to(sun_3, points.shape)
        free = np.ones(len(points), dtype=bool)
        for solid in self.solids:
            free &= ~solid.blocks(points, towards)
        return free


class Stage:
    """The standing part of a scene, ready for rays; movers are added per instant."""

    def __init__(self, standing: Surface) -> None:
        self._standing = standing
        self._solid = Solid(standing.mesh)

    def cast(self, pose: Pose, rays_N3: Floats, moving: Surface | None) -> Hits:
        """Rays given in the sensor's coordinates, from a sensor at a pose."""
        turned = np.ascontiguousarray(rays_N3 @ pose.rotation_33.T.astype(np.float32))
        origin = pose.translation_3.astype(np.float32)
        origins = np.broadcast_to(origin, turned.shape)
        triangle, distance = self._solid.hit(origins, turned)
        if moving is None:
            return Hits(self._standing, triangle, distance, origin, turned, (self._solid,))
        solid = Solid(moving.mesh)
        other, nearer = solid.hit(origins, turned)
        closer = nearer < distance
        offset = len(self._standing.mesh.corners_T33)
        triangle = np.where(closer, other + offset, triangle).astype(np.int32)
        distance = np.where(closer, nearer, distance)
        return Hits(self._standing + moving, triangle, distance, origin, turned, (self._solid, solid))
