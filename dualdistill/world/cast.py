"""One geometry for all sensors: what stands is built once per scene, what moves is rebuilt at each instant.

Axes: N rays, T triangles.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from dualdistill.world.light import Light
from dualdistill.world.mesh import Floats, Mesh, floats
from dualdistill.world.sensors import Pose

FAR_M = np.float32(1e4)  # where rays that meet nothing are said to end
LIFT_M = np.float32(0.015)  # shadow rays start this far off their surface, lest it shadows itself


class Solid:
    """A mesh that rays can hit."""

    def __init__(self, mesh: Mesh) -> None:
        # robust: rays must not slip between neighbouring triangles
        self._scene = EmbreeScene(robust=True)
        self._mesh = TriangleMesh(self._scene, np.ascontiguousarray(mesh.corners_T33, dtype=np.float32))

    def hit(self, origin_3: Floats, rays_N3: Floats) -> tuple[NDArray[np.int32], Floats]:
        """Nearest triangle (-1: none) and distance in units of the ray's length."""
        found = self._scene.run(np.broadcast_to(origin_3, rays_N3.shape), rays_N3, output=True)
        return found["primID"], np.minimum(found["tfar"], FAR_M)

    def blocks(self, points_N3: Floats, towards_3: Floats) -> NDArray[np.bool_]:
        """Which points see something of this mesh in a direction."""
        return self._scene.run(points_N3, np.broadcast_to(towards_3, points_N3.shape), query="OCCLUDED") >= 0


@dataclass(frozen=True)
class Surface:
    """Per triangle: what shading needs, and which instance (1, 2, ...; 0 is background) owns it."""

    normals_T3: Floats
    shadow_3T: Floats
    sun_3T: Floats
    faces_sun_T: NDArray[np.bool_]
    intensity_T: Floats
    texture_T: NDArray[np.uint8]
    instance_T: NDArray[np.uint16]

    @staticmethod
    def of(mesh: Mesh, instance_T: NDArray[np.uint16], light: Light) -> Surface:
        normals = mesh.normals_T3
        shadow, sun = light.shade(mesh, normals)
        lit = sun.max(0) > 0
        return Surface(normals, shadow, sun, lit, mesh.intensity_T, mesh.texture_T, instance_T)

    def __add__(self, other: Surface) -> Surface:
        pairs = ((item.name, getattr(self, item.name), getattr(other, item.name)) for item in fields(self))
        # triangles are the last axis of colours and the first of everything else
        return Surface(
            *(np.concatenate([a, b], axis=1 if name.endswith("3T") else 0) for name, a, b in pairs)
        )


@dataclass(frozen=True)
class Hits:
    """What each ray met: a triangle of `surface` (-1: nothing) at a distance in ray lengths."""

    surface: Surface
    triangle_N: NDArray[np.int32]
    distance_N: Floats
    origin_3: Floats
    rays_N3: Floats  # in global directions
    solids: tuple[Solid, ...]

    @property
    def instance_N(self) -> NDArray[np.uint16]:
        owner = self.surface.instance_T.take(self.triangle_N, mode="clip")
        return np.where(self.triangle_N >= 0, owner, np.uint16(0))

    def lit(self, points_3N: Floats, wanted: NDArray[np.intp], sun_3: Floats) -> NDArray[np.bool_]:
        """Whether the sun reaches what the wanted rays have hit."""
        points = self.surface.normals_T3.take(self.triangle_N[wanted], axis=0)
        points *= LIFT_M
        for axis in range(3):
            points[:, axis] += points_3N[axis].take(wanted)
        free = np.ones(len(points), dtype=bool)
        for solid in self.solids:
            free &= ~solid.blocks(points, sun_3)
        return free


class Stage:
    """The standing part of a scene, ready for rays; movers are added per instant."""

    def __init__(self, mesh: Mesh, surface: Surface) -> None:
        self._surface = surface
        self._solid = Solid(mesh)

    def cast(
        self,
        pose: Pose,
        rays_N3: Floats,
        movers: tuple[Mesh, Surface] | None,
        towards: NDArray[np.intp] | None = None,
    ) -> Hits:
        """Rays given in a sensor's coordinates, from its pose; only rays `towards` movers can meet one."""
        turned = np.ascontiguousarray(rays_N3 @ floats(pose.rotation_33.T))
        origin = floats(pose.translation_3)
        triangle, distance = self._solid.hit(origin, turned)
        if movers is None:
            return Hits(self._surface, triangle, distance, origin, turned, (self._solid,))
        moving = Solid(movers[0])
        tried = np.arange(len(turned)) if towards is None else towards
        other, nearer = moving.hit(origin, turned.take(tried, axis=0))
        closer = nearer < distance[tried]
        triangle[tried[closer]] = other[closer] + len(self._surface.instance_T)
        distance[tried[closer]] = nearer[closer]
        return Hits(self._surface + movers[1], triangle, distance, origin, turned, (self._solid, moving))
