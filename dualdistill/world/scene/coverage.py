"""A cheap look at a scene that is still being drawn: which classes does the LiDAR meet?

Axes: N rays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dualdistill.config.world import WorldSpec
from dualdistill.world.geometry.mesh import Floats
from dualdistill.world.scene.scene import mover_at, to_microseconds
from dualdistill.world.scene.traffic import Actor, Drive
from dualdistill.world.sensors.raycast import RayTracer, SensorRays
from dualdistill.world.sensors.rig import FRAME_S, REVOLUTION_S, Sensor, ground_pose, lidar_rays, ray_ages

ENOUGH = 2  # returns in one frame that make an object one that the LiDAR meets


@dataclass
class _Instant:
    time: float
    shot: SensorRays
    distance_N: Floats
    actor_N: NDArray[np.int32]  # -1: background


class Coverage:
    """The LiDAR at half resolution in the first, middle and last key frame; actors are added one by one."""

    def __init__(self, spec: WorldSpec, lidar: Sensor, drive: Drive, tracers: list[RayTracer]) -> None:
        self._reach, self._names = spec.radius_m, list[str]()
        rays, _ = lidar_rays(replace(spec, lidar_azimuths=max(1, spec.lidar_azimuths // 2)), 0.0)
        age, last = ray_ages(rays), spec.frames_per_scene - 1
        self._instants = []
        for time in (FRAME_S * frame for frame in sorted({0, last // 2, last})):
            xy, yaw = drive.motion.at([time])
            shot = SensorRays.from_pose(ground_pose(xy[0], float(yaw[0])) @ lidar, rays, None, age)
            distance = np.min(
                [tracer.nearest_hit(shot.origin_3, shot.rays_N3)[1] for tracer in tracers], axis=0
            )
            self._instants.append(_Instant(time, shot, distance, np.full(len(rays), -1, np.int32)))

    def classes_hit(self, actors: list[Actor]) -> set[str]:
        """Of the actors given so far and now, those that are met."""
        for number in range(len(self._names), len(actors)):
            self._names.append(actors[number].asset.name)
            for instant in self._instants:
                self._add(instant, number, actors[number])
        met: set[str] = set()
        for instant in self._instants:
            seen = instant.actor_N[(instant.actor_N >= 0) & (instant.distance_N < self._reach)]
            met |= {self._names[number] for number in np.flatnonzero(np.bincount(seen) >= ENOUGH)}
        return met

    def _add(self, instant: _Instant, number: int, actor: Actor) -> None:
        xy, yaw = actor.motion.at([instant.time, to_microseconds(instant.time - REVOLUTION_S)])
        shot = instant.shot
        if np.hypot(*(xy[0] - shot.origin_3[:2])) > self._reach + max(actor.asset.size_lwh):
            return
        mover = mover_at(actor.asset.body, np.column_stack([xy, yaw]))
        candidates = mover.rays_near(shot.origin_3, shot.rays_N3)
        if len(candidates) == 0 or shot.age_N is None:
            return
        _, nearer = mover.nearest_hit(
            shot.origin_3, shot.rays_N3.take(candidates, axis=0), shot.age_N[candidates]
        )
        closer = nearer < instant.distance_N.take(candidates)
        instant.distance_N[candidates[closer]] = nearer[closer]
        instant.actor_N[candidates[closer]] = number
