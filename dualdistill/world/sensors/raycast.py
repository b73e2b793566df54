"""One geometry for all sensors: what stands is built once per scene, what moves keeps its own frame.

Rays are turned into a mover's frame instead of rebuilding it at each instant: building is the slow part.
Axes: N rays, T triangles, H and W rows and columns of an image.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from dualdistill.world.geometry.mesh import Floats, Mesh, floats
from dualdistill.world.geometry.raytrace import RayTracer, RigidBody
from dualdistill.world.scene.light import Light
from dualdistill.world.sensors.rig import Pose

LIFT_M = np.float32(0.015)  # shadow rays start this far off their surface, lest it shadows itself
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Mover:
    """A body at an instant, and how it got there."""

    body: RigidBody
    rotation_33: Floats
    at_3: Floats
    velocity_3: Floats  # metres per second, over the LiDAR's last turn
    instance: int = 0

    def nearest_hit(self, origin_3: Floats, rays_N3: Floats, age_N: Floats | None) -> tuple[Indices, Floats]:
        """As a solid's; rays of an age meet the mover where it was that many seconds ago."""
        gap = origin_3 - self.at_3
        origins = gap if age_N is None else gap + age_N[:, None] * self.velocity_3
        return self.body.tracer.nearest_hit(
            np.ascontiguousarray(origins @ self.rotation_33), np.ascontiguousarray(rays_N3 @ self.rotation_33)
        )

    def rays_near(self, origin_3: Floats, rays_N3: Floats, slack_m: float = 0.0) -> Indices:
        """Which rays of unit length from one origin pass by the mover closely."""
        gap = self.middle_3 - origin_3
        along = rays_N3 @ gap
        radius = self.body.radius_m + slack_m
        return np.flatnonzero((gap @ gap - along**2 < radius**2) & (along > -radius))

    def min_depth(self, shot: SensorRays) -> float:
        """The least depth that any part of it can have in a picture."""
        return float((self.middle_3 - shot.origin_3) @ shot.ahead_3 - self.body.radius_m)

    @property
    def middle_3(self) -> Floats:
        return self.at_3 + floats([0.0, 0.0, self.body.middle_m])

    def shaded_points(self, points: SunPoints, towards_3: Floats) -> Indices:
        """Which points see the mover in a direction."""
        middle_2 = self.middle_3 @ points.across_32
        radius = np.float32(self.body.radius_m)
        near = np.abs(points.aside_2N[0] - middle_2[0]) < radius
        near &= np.abs(points.aside_2N[1] - middle_2[1]) < radius
        asked = np.flatnonzero(near)
        own = np.ascontiguousarray((points.points_N3.take(asked, axis=0) - self.at_3) @ self.rotation_33)
        return asked[self.body.tracer.occludes(own, towards_3 @ self.rotation_33)]

    def surface(self, light: Light) -> Surface:
        normals = self.body.normals_T3 @ self.rotation_33.T
        owner = np.full(len(normals), self.instance, np.uint16)
        return Surface.of(self.body.mesh, normals, owner, light)


@dataclass(frozen=True)
class SunPoints:
    """Places that the sun may reach, and where they lie in two directions across its rays."""

    points_N3: Floats
    across_32: Floats
    aside_2N: Floats

    @staticmethod
    def of(points_N3: Floats, sun_3: Floats) -> SunPoints:
        level = np.array([-sun_3[1], sun_3[0], 0.0]) / np.hypot(sun_3[0], sun_3[1])
        across = floats(np.stack([level, np.cross(sun_3, level)], 1))
        return SunPoints(points_N3, across, np.ascontiguousarray((points_N3 @ across).T))


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
    def of(mesh: Mesh, normals_T3: Floats, instance_T: NDArray[np.uint16], light: Light) -> Surface:
        shadow, sun = light.shade(mesh, normals_T3)
        lit = sun.max(0) > 0
        return Surface(normals_T3, shadow, sun, lit, mesh.intensity_T, mesh.texture_T, instance_T)

    @staticmethod
    def join(parts: Sequence[Surface]) -> Surface:
        if len(parts) == 1:
            return parts[0]
        names = [item.name for item in fields(Surface)]
        # triangles are the last axis of colours and the first of everything else
        return Surface(
            *(
                np.concatenate([getattr(part, name) for part in parts], axis=1 if name.endswith("3T") else 0)
                for name in names
            )
        )


@dataclass(frozen=True)
class Hits:
    """What each ray met: a triangle of `surface` (-1: nothing) at a distance in ray lengths."""

    surface: Surface
    triangle_N: NDArray[np.int32]
    distance_N: Floats
    origin_3: Floats
    rays_N3: Floats  # in global directions
    static_tracer: RayTracer
    movers: tuple[Mover, ...]

    @property
    def instance_N(self) -> NDArray[np.uint16]:
        owner = self.surface.instance_T.take(self.triangle_N, mode="clip")
        return np.where(self.triangle_N >= 0, owner, np.uint16(0))

    def sunlit(self, points_3N: Floats, wanted: Indices, sun_3: Floats) -> NDArray[np.bool_]:
        """Whether the sun reaches what the wanted rays have hit."""
        points = self.surface.normals_T3.take(self.triangle_N[wanted], axis=0)
        points *= LIFT_M
        for axis in range(3):
            points[:, axis] += points_3N[axis].take(wanted)
        free = ~self.static_tracer.occludes(points, sun_3)
        placed = SunPoints.of(points, sun_3)
        for mover in self.movers:
            free[mover.shaded_points(placed, sun_3)] = False
        return free


@dataclass(frozen=True)
class SensorRays:
    """The rays of a sensor at an instant, in global directions."""

    origin_3: Floats
    rays_N3: Floats
    ahead_3: Floats  # the sensor's third axis
    size: tuple[int, int] | None = None  # of the image that they fill, row by row
    age_N: Floats | None = None  # seconds since each was shot

    @staticmethod
    def from_pose(
        pose: Pose, rays_N3: Floats, size: tuple[int, int] | None, age_N: Floats | None
    ) -> SensorRays:
        turned = np.ascontiguousarray(rays_N3 @ floats(pose.rotation_33.T))
        return SensorRays(floats(pose.translation_3), turned, floats(pose.rotation_33[:, 2]), size, age_N)


class StaticScene:
    """The static_tracer part of a scene, ready for rays; movers are added per instant."""

    def __init__(self, mesh: Mesh, surface: Surface) -> None:
        self._surface = surface
        self._tracer = RayTracer(mesh)

    def cast_rays(self, shot: SensorRays, movers: Sequence[tuple[Mover, Indices]], light: Light) -> Hits:
        """Each mover is given with the rays that can meet it; it blocks the sun for all of them."""
        triangle, distance = (
            self._image(shot) if shot.size else self._tracer.nearest_hit(shot.origin_3, shot.rays_N3)
        )
        surfaces, count = [self._surface], len(self._surface.instance_T)
        for mover, candidates in movers:
            if len(candidates) == 0:
                continue
            if shot.size:  # distances are depths: what is nearer than the whole mover stays
                candidates = candidates[distance.take(candidates) > mover.min_depth(shot)]
            age = None if shot.age_N is None else shot.age_N[candidates]
            other, nearer = mover.nearest_hit(shot.origin_3, shot.rays_N3.take(candidates, axis=0), age)
            closer = np.flatnonzero(nearer < distance.take(candidates))
            if len(closer) == 0:
                continue
            ours = candidates[closer]
            triangle[ours], distance[ours] = other[closer] + count, nearer[closer]
            surfaces.append(mover.surface(light))
            count += len(mover.body.normals_T3)
        surface, placed = Surface.join(surfaces), tuple(mover for mover, _ in movers)
        return Hits(surface, triangle, distance, shot.origin_3, shot.rays_N3, self._tracer, placed)

    def _image(self, shot: SensorRays) -> tuple[NDArray[np.int32], Floats]:
        """Every other pixel is cast; one whose four neighbours show one triangle shows it, too."""
        assert shot.size is not None
        first, second = _checkerboard(*shot.size)
        triangle_N = np.full(len(shot.rays_N3), -2, np.int32)
        distance_N = np.empty(len(shot.rays_N3), np.float32)
        triangle_N[first], distance_N[first] = self._tracer.nearest_hit(
            shot.origin_3, shot.rays_N3.take(first, axis=0)
        )
        left, width = triangle_N.take(second - 1), shot.size[1]
        agree = triangle_N.take(second + 1) == left
        for neighbour in (-width, width):
            agree &= triangle_N.take(second + neighbour) == left
        given, asked = second[agree], second[~agree]
        triangle_N[given] = left[agree]
        # along a row, the inverse of the depth of a plane is linear
        before, after = distance_N.take(given - 1), distance_N.take(given + 1)
        distance_N[given] = 2 * before * after / (before + after)
        triangle_N[asked], distance_N[asked] = self._tracer.nearest_hit(
            shot.origin_3, shot.rays_N3.take(asked, axis=0)
        )
        return triangle_N, distance_N


@functools.cache
def _checkerboard(height: int, width: int) -> tuple[Indices, Indices]:
    """The pixels that are cast first, and those inside the image with four such neighbours."""
    second = np.add.outer(np.arange(height), np.arange(width)) % 2 == 1
    second[[0, -1]] = second[:, [0, -1]] = False
    return np.flatnonzero(~second), np.flatnonzero(second)
