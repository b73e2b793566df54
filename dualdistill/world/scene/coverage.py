"""Cheap test of which classes the LiDAR hits in a scene that is still being drawn. Axes: N rays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dualdistill.config.world import WorldSpec
from dualdistill.world.geometry.mesh import Floats
from dualdistill.world.scene.scene import mover_at, round_to_us
from dualdistill.world.scene.traffic import Actor, Drive
from dualdistill.world.sensors.raycast import RayTracer, SensorRays
from dualdistill.world.sensors.rig import FRAME_S, REVOLUTION_S, Sensor, ground_pose, lidar_rays, ray_ages

MIN_RETURNS = 2  # in one key frame, for an object to count as hit


@dataclass
class _Instant:
    """The nearest hit of each ray at one instant."""

    time: float
    rays: SensorRays
    distance_N: Floats
    actor_N: NDArray[np.int32]  # -1: background


class Coverage:
    """The LiDAR at half resolution in the first, middle and last key frame; actors are added one by one."""

    def __init__(self, spec: WorldSpec, lidar: Sensor, drive: Drive, tracers: list[RayTracer]) -> None:
        self._radius_m, self._names = spec.radius_m, list[str]()
        rays_N3, _ = lidar_rays(replace(spec, lidar_azimuths=max(1, spec.lidar_azimuths // 2)), 0.0)
        age, last = ray_ages(rays_N3), spec.frames_per_scene - 1
        self._instants = []
        for time in (FRAME_S * frame for frame in sorted({0, last // 2, last})):
            xy, yaw = drive.motion.at([time])
            rays = SensorRays.from_pose(ground_pose(xy[0], float(yaw[0])) @ lidar, rays_N3, None, age)
            distances = [tracer.nearest_hit(rays.origin_3, rays.rays_N3)[1] for tracer in tracers]
            background_N = np.full(len(rays_N3), -1, np.int32)
            self._instants.append(_Instant(time, rays, np.min(distances, axis=0), background_N))

    def classes_hit(self, actors: list[Actor]) -> set[str]:
        """Classes that are hit; `actors` are all actors so far, of which new ones are added first."""
        for number in range(len(self._names), len(actors)):
            self._names.append(actors[number].asset.name)
            for instant in self._instants:
                self._add(instant, number, actors[number])
        classes: set[str] = set()
        for instant in self._instants:
            hits = instant.actor_N[(instant.actor_N >= 0) & (instant.distance_N < self._radius_m)]
            classes |= {self._names[number] for number in np.flatnonzero(np.bincount(hits) >= MIN_RETURNS)}
        return classes

    def _add(self, instant: _Instant, number: int, actor: Actor) -> None:
        xy, yaw = actor.motion.at([instant.time, round_to_us(instant.time - REVOLUTION_S)])
        rays = instant.rays
        if np.hypot(*(xy[0] - rays.origin_3[:2])) > self._radius_m + max(actor.asset.size_lwh):
            return
        mover = mover_at(actor.asset.body, np.column_stack([xy, yaw]))
        candidates = mover.rays_near(rays.origin_3, rays.rays_N3)
        if len(candidates) == 0 or rays.age_N is None:
            return
        rays_N3, age_N = rays.rays_N3.take(candidates, axis=0), rays.age_N[candidates]
        _, distance = mover.nearest_hit(rays.origin_3, rays_N3, age_N)
        closer = distance < instant.distance_N.take(candidates)
        instant.distance_N[candidates[closer]] = distance[closer]
        instant.actor_N[candidates[closer]] = number
