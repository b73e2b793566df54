"""Ray casting into one geometry shared by all sensors: a static mesh per scene, plus rigid moving objects.

Rays are transformed into a moving object's frame, because rebuilding its mesh at each instant is slower.
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

LIFT_M = np.float32(0.015)  # offset of shadow rays from their surface, so that it does not shadow itself
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Mover:
    """A moving object at one instant, with its velocity."""

    body: RigidBody
    rotation_33: Floats
    at_3: Floats
    velocity_3: Floats  # metres per second, over the LiDAR's last revolution
    instance: int = 0

    def nearest_hit(self, origin_3: Floats, rays_N3: Floats, age_N: Floats | None) -> tuple[Indices, Floats]:
        """Nearest hit as in RayTracer, but each ray tests the object where it was `age_N` seconds ago."""
        offset = origin_3 - self.at_3
        origins = offset if age_N is None else offset + age_N[:, None] * self.velocity_3
        return self.body.tracer.nearest_hit(
            np.ascontiguousarray(origins @ self.rotation_33), np.ascontiguousarray(rays_N3 @ self.rotation_33)
        )

    def rays_near(self, origin_3: Floats, rays_N3: Floats, slack_m: float = 0.0) -> Indices:
        """Indices of unit rays from one origin that pass through the object's bounding sphere."""
        offset = self.middle_3 - origin_3
        along = rays_N3 @ offset
        radius = self.body.radius_m + slack_m
        return np.flatnonzero((offset @ offset - along**2 < radius**2) & (along > -radius))

    def min_depth(self, rays: SensorRays) -> float:
        """Lower bound of the object's depth in an image."""
        return float((self.middle_3 - rays.origin_3) @ rays.ahead_3 - self.body.radius_m)

    @property
    def middle_3(self) -> Floats:
        return self.at_3 + floats([0.0, 0.0, self.body.middle_m])

    def shaded_points(self, points: SunPoints, sun_3: Floats) -> Indices:
        """Indices of the points that the object hides from the sun."""
        middle_2 = self.middle_3 @ points.across_32
        radius = np.float32(self.body.radius_m)
        near = np.abs(points.aside_2N[0] - middle_2[0]) < radius
        near &= np.abs(points.aside_2N[1] - middle_2[1]) < radius
        candidates = np.flatnonzero(near)
        local = np.ascontiguousarray(
            (points.points_N3.take(candidates, axis=0) - self.at_3) @ self.rotation_33
        )
        return candidates[self.body.tracer.occludes(local, sun_3 @ self.rotation_33)]

    def surface(self, light: Light) -> Surface:
        normals = self.body.normals_T3 @ self.rotation_33.T
        owner = np.full(len(normals), self.instance, np.uint16)
        return Surface.of(self.body.mesh, normals, owner, light)


@dataclass(frozen=True)
class SunPoints:
    """Points to test for sunlight, and their coordinates on the two axes across the sun's rays."""

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
    """Shading data of each triangle, and the instance it belongs to (1, 2, ...; 0: background)."""

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
        # triangles are the last axis of colours and the first axis of all other fields
        return Surface(
            *(
                np.concatenate([getattr(part, name) for part in parts], axis=1 if name.endswith("3T") else 0)
                for name in names
            )
        )


@dataclass(frozen=True)
class Hits:
    """The triangle of `surface` that each ray hit (-1: none), and its distance in ray lengths."""

    surface: Surface
    triangle_N: NDArray[np.int32]
    distance_N: Floats
    origin_3: Floats
    rays_N3: Floats  # global directions
    static_tracer: RayTracer
    movers: tuple[Mover, ...]

    @property
    def instance_N(self) -> NDArray[np.uint16]:
        owner = self.surface.instance_T.take(self.triangle_N, mode="clip")
        return np.where(self.triangle_N >= 0, owner, np.uint16(0))

    def sunlit(self, points_3N: Floats, indices: Indices, sun_3: Floats) -> NDArray[np.bool_]:
        """Whether the sun reaches the hit points of the indexed rays."""
        points = self.surface.normals_T3.take(self.triangle_N[indices], axis=0)
        points *= LIFT_M
        for axis in range(3):
            points[:, axis] += points_3N[axis].take(indices)
        sunlit = ~self.static_tracer.occludes(points, sun_3)
        sun_points = SunPoints.of(points, sun_3)
        for mover in self.movers:
            sunlit[mover.shaded_points(sun_points, sun_3)] = False
        return sunlit


@dataclass(frozen=True)
class SensorRays:
    """The rays of a sensor at one instant, in global directions."""

    origin_3: Floats
    rays_N3: Floats
    ahead_3: Floats  # the sensor's third axis
    size: tuple[int, int] | None = None  # of the image whose pixels they are, row by row
    age_N: Floats | None = None  # seconds since each ray was emitted

    @staticmethod
    def from_pose(
        pose: Pose, rays_N3: Floats, size: tuple[int, int] | None, age_N: Floats | None
    ) -> SensorRays:
        rotated = np.ascontiguousarray(rays_N3 @ floats(pose.rotation_33.T))
        return SensorRays(floats(pose.translation_3), rotated, floats(pose.rotation_33[:, 2]), size, age_N)


class StaticScene:
    """The stationary part of a scene, ready for ray casting; moving objects are added at each instant."""

    def __init__(self, mesh: Mesh, surface: Surface) -> None:
        self._surface = surface
        self._tracer = RayTracer(mesh)

    def cast_rays(self, rays: SensorRays, movers: Sequence[tuple[Mover, Indices]], light: Light) -> Hits:
        """Cast a sensor's rays; each mover comes with the indices of the rays that can hit it.

        A mover casts its shadow on the hits of all rays.
        """
        if rays.size:
            triangle, distance = self._cast_image(rays)
        else:
            triangle, distance = self._tracer.nearest_hit(rays.origin_3, rays.rays_N3)
        surfaces, count = [self._surface], len(self._surface.instance_T)
        for mover, candidates in movers:
            if len(candidates) == 0:
                continue
            if rays.size:  # distances are depths: skip pixels that show something nearer than the whole mover
                candidates = candidates[distance.take(candidates) > mover.min_depth(rays)]
            age = None if rays.age_N is None else rays.age_N[candidates]
            mover_triangle, mover_distance = mover.nearest_hit(
                rays.origin_3, rays.rays_N3.take(candidates, axis=0), age
            )
            closer = np.flatnonzero(mover_distance < distance.take(candidates))
            if len(closer) == 0:
                continue
            hits = candidates[closer]
            triangle[hits], distance[hits] = mover_triangle[closer] + count, mover_distance[closer]
            surfaces.append(mover.surface(light))
            count += len(mover.body.normals_T3)
        surface, bodies = Surface.join(surfaces), tuple(mover for mover, _ in movers)
        return Hits(surface, triangle, distance, rays.origin_3, rays.rays_N3, self._tracer, bodies)

    def _cast_image(self, rays: SensorRays) -> tuple[NDArray[np.int32], Floats]:
        """Cast every other pixel; a pixel whose four neighbours show the same triangle takes it over."""
        assert rays.size is not None
        first, second = _checkerboard(*rays.size)
        triangle_N = np.full(len(rays.rays_N3), -2, np.int32)
        distance_N = np.empty(len(rays.rays_N3), np.float32)
        triangle_N[first], distance_N[first] = self._tracer.nearest_hit(
            rays.origin_3, rays.rays_N3.take(first, axis=0)
        )
        left, width = triangle_N.take(second - 1), rays.size[1]
        agree = triangle_N.take(second + 1) == left
        for neighbour in (-width, width):
            agree &= triangle_N.take(second + neighbour) == left
        filled, remaining = second[agree], second[~agree]
        triangle_N[filled] = left[agree]
        # along a row, the inverse depth of a plane is linear
        before, after = distance_N.take(filled - 1), distance_N.take(filled + 1)
        distance_N[filled] = 2 * before * after / (before + after)
        triangle_N[remaining], distance_N[remaining] = self._tracer.nearest_hit(
            rays.origin_3, rays.rays_N3.take(remaining, axis=0)
        )
        return triangle_N, distance_N


@functools.cache
def _checkerboard(height: int, width: int) -> tuple[Indices, Indices]:
    """Pixels cast first (the border among them), and the rest, whose four neighbours are all cast first."""
    second = np.add.outer(np.arange(height), np.arange(width)) % 2 == 1
    second[[0, -1]] = second[:, [0, -1]] = False
    return np.flatnonzero(~second), np.flatnonzero(second)
