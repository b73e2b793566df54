"""One scene: a town, its light, its traffic and the ego's drive, ready to be looked at.

Everything is in the town's coordinates, streets along the axes: a turned world takes a third longer to cast.
Only what is written into the tables is turned into the map's (nuScenes' global) frame.
Axes: A actors (instance i + 1 in masks and clouds is actor i), N rays.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualdistill.config.world import WorldSpec
from dualdistill.world.geometry.mesh import Floats, floats, rotation
from dualdistill.world.geometry.motion import Array, Motion
from dualdistill.world.geometry.raytrace import RigidBody
from dualdistill.world.scene.light import Light
from dualdistill.world.scene.town import Town
from dualdistill.world.scene.traffic import Actor
from dualdistill.world.scene.weather import Weather
from dualdistill.world.sensors.raycast import Hits, Mover, SensorRays, StaticScene
from dualdistill.world.sensors.rig import (
    FRAME_S,
    REVOLUTION_S,
    Pose,
    Sensor,
    camera_rays,
    ground_pose,
    image_window,
    outside_view_m,
    ray_ages,
)

EDGE_M = 30.0  # of map beyond the ends of the streets
MOVERS_WITHIN_M = 90.0  # movers further away are left out
SHADOW_SIZES = 2.5  # movers this many sizes out of view may still throw a shadow into it


@dataclass(frozen=True)
class Scene:
    spec: WorldSpec
    split: str
    number: int
    weather: Weather
    light: Light
    sensors: dict[str, Sensor]
    ego: Motion
    actors: tuple[Actor, ...]
    town: Town
    yaw: float  # of the town in the map
    static: StaticScene

    @property
    def name(self) -> str:
        return f"{self.split.replace('_', '-')}-{self.number:04d}"

    @property
    def seconds(self) -> float:
        """From the first key frame to the last."""
        return FRAME_S * (self.spec.frames_per_scene - 1)

    @property
    def map_size_m(self) -> float:
        return 2 * (self.town.half_length + EDGE_M)

    @property
    def town_to_map(self) -> Pose:
        """The town's frame in the map's: turned, and shifted so that the map begins at (0, 0)."""
        half = self.map_size_m / 2
        return ground_pose((half, half), self.yaw)

    def ego_pose(self, time: float) -> Pose:
        x, y, yaw = self._places(time)[0]
        return ground_pose((x, y), yaw)

    def place(self, instance: int, time: float) -> tuple[Array, float]:
        """Position and heading of an actor."""
        x, y, yaw = self._places(time)[instance]
        return np.array([x, y]), float(yaw)

    def cast_rays(self, time: float, sensor: Sensor, rays_N3: Floats) -> Hits:
        """Cast a sensor's rays at an instant, with everything that moves where it is then.

        The LiDAR turns: each of its rays meets what moves where it was when the ray was shot. The ego's own
        motion is compensated, as in nuScenes: all rays leave from where the sensor is at the turn's end.
        """
        pose, size = self.ego_pose(time) @ sensor, (self.spec.image_height, self.spec.image_width)
        if sensor.intrinsics_33 is None:
            shot = SensorRays.from_pose(pose, rays_N3, None, ray_ages(rays_N3))
        else:
            shot = SensorRays.from_pose(
                pose, rays_N3, size if len(rays_N3) == size[0] * size[1] else None, None
            )
        movers = [(self._mover(int(index), time), int(index)) for index in self._in_view(time, pose, sensor)]
        candidates = [
            (mover, self._candidate_rays(mover, index, shot, pose, sensor)) for mover, index in movers
        ]
        return self.static.cast_rays(shot, candidates, self.light)

    def depth(self, channel: str, time: float) -> Floats:
        """Depth along the optical axis [height, width] of what a camera sees; FAR_M where it sees none."""
        sensor, size = self.sensors[channel], (self.spec.image_height, self.spec.image_width)
        return self.cast_rays(time, sensor, camera_rays(sensor, size[1], size[0])).distance_N.reshape(size)

    def _places(self, time: float) -> Array:
        """x, y, yaw of the ego (row 0) and every actor."""
        rows, table = self._timeline
        if time in rows:
            return table[:, rows[time]]
        return _places_of([self.ego, *(actor.motion for actor in self.actors)], [time])[:, 0]

    @functools.cached_property
    def _timeline(self) -> tuple[dict[float, int], Array]:
        """All places at all instants the sensors look at: computed at once, because one by one is slow."""
        times = sorted(
            {
                to_microseconds(time)
                for frame in range(-1, self.spec.frames_per_scene)
                for time in self._instants(frame)
            }
        )
        table = _places_of([self.ego, *(actor.motion for actor in self.actors)], times)
        return {time: row for row, time in enumerate(times)}, table

    def _instants(self, frame: int) -> list[float]:
        cameras = [FRAME_S * frame - sensor.lead_s for sensor in self.sensors.values()]
        ends = [*sweep_times(self.spec, frame), *cameras]
        return [*ends, *(end - REVOLUTION_S for end in ends)]

    def _mover(self, index: int, time: float) -> Mover:
        places = np.stack(
            [self._places(at)[index + 1] for at in (time, to_microseconds(time - REVOLUTION_S))]
        )
        return mover_at(self.actors[index].asset.body, places, index + 1)

    def _in_view(self, time: float, pose: Pose, sensor: Sensor) -> NDArray[np.intp]:
        """What moves and a sensor can see, itself or its shadow."""
        gap = self._places(time)[1:, :2] - pose.translation_3[:2]
        if sensor.intrinsics_33 is None:
            seen = np.hypot(*gap.T) < self.spec.lidar_reach_m + self._sizes_A
        else:
            margin = (SHADOW_SIZES if self.light.casts_shadows else 1.0) * self._sizes_A
            seen = (outside_view_m(gap @ pose.rotation_33[:2], sensor) < margin) & (
                np.hypot(*gap.T) < MOVERS_WITHIN_M
            )
        return np.flatnonzero(seen & self._moves_A)

    def _candidate_rays(
        self, mover: Mover, index: int, shot: SensorRays, pose: Pose, sensor: Sensor
    ) -> NDArray[np.intp]:
        """Which rays can meet a mover."""
        if shot.age_N is not None:
            moved = REVOLUTION_S * float(np.linalg.norm(mover.velocity_3))
            return mover.rays_near(shot.origin_3, shot.rays_N3, moved)
        if shot.size is None:
            return np.arange(len(shot.rays_N3))
        corners = self.actors[index].asset.corners_83 @ mover.rotation_33.T + mover.at_3
        part = image_window(corners, pose, sensor, shot.size)
        if part is None:
            return np.zeros(0, np.intp)
        rows, columns = (np.arange(span.start, span.stop) for span in part)
        return (rows[:, None] * shot.size[1] + columns).reshape(-1)

    @functools.cached_property
    def _moves_A(self) -> NDArray[np.bool_]:
        return np.array([actor.motion.moves for actor in self.actors], dtype=bool)

    @functools.cached_property
    def _sizes_A(self) -> Array:
        return np.array([max(actor.asset.size_lwh) for actor in self.actors])


def to_microseconds(time: float) -> float:
    """The nearest time that a timestamp in microseconds can tell."""
    return round(time * 1e6) / 1e6


def mover_at(body: RigidBody, places_23: Array, instance: int = 0) -> Mover:
    """A body at x, y, yaw now, given with those a turn ago."""
    (x, y, yaw), (x_before, y_before, _) = places_23
    velocity = floats([x - x_before, y - y_before, 0.0]) / np.float32(REVOLUTION_S)
    return Mover(body, floats(rotation(yaw)), floats([x, y, 0.0]), velocity, instance)


def sweep_times(spec: WorldSpec, frame: int) -> list[float]:
    """LiDAR sweeps from the key frame before (excluded) to this one; frame -1 is the first instant."""
    if frame < 0:
        return [FRAME_S * frame]
    shares = np.arange(1, spec.sweeps_per_frame + 1) / spec.sweeps_per_frame
    return [FRAME_S * (frame - 1 + float(share)) for share in shares]


def _places_of(motions: list[Motion], times: list[float]) -> Array:
    """[motion, time, (x, y, yaw)]"""
    found = [motion.at(np.array(times)) for motion in motions]
    return np.stack([np.column_stack([xy, yaw]) for xy, yaw in found])
