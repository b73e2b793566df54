"""A complete scene: town, light, traffic, the ego's drive and the sensors, ready for ray casting.

All coordinates are the town's, with streets along the axes: a rotated world takes a third longer to cast.
Only the poses written into the tables are transformed to the map's frame (nuScenes' global frame).
Axes: A actors (actor i is instance i + 1 in masks and point clouds), N rays.
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
from dualdistill.world.nuscenes.names import scene_name
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
MOVERS_WITHIN_M = 90.0  # of a camera; movers further away are not rendered
SHADOW_SIZES = 2.5  # a mover up to this many times its size out of view may cast a shadow into it


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
        return scene_name(self.spec, self.split, self.number)

    @property
    def seconds(self) -> float:
        """Duration from the first key frame to the last."""
        return FRAME_S * (self.spec.frames_per_scene - 1)

    @property
    def map_size_m(self) -> float:
        return 2 * (self.town.half_length + EDGE_M)

    @property
    def town_to_map(self) -> Pose:
        """Pose of the town in the map, which begins at (0, 0)."""
        half = self.map_size_m / 2
        return ground_pose((half, half), self.yaw)

    def ego_pose(self, time: float) -> Pose:
        x, y, yaw = self._places(time)[0]
        return ground_pose((x, y), yaw)

    def place(self, instance: int, time: float) -> tuple[Array, float]:
        """Position and heading of an instance."""
        x, y, yaw = self._places(time)[instance]
        return np.array([x, y]), float(yaw)

    def cast_rays(self, time: float, sensor: Sensor, rays_N3: Floats) -> Hits:
        """Cast a sensor's rays at an instant.

        Each LiDAR ray hits moving objects where they were when the ray was emitted; the ego motion is
        compensated, as in nuScenes: all rays start from the sensor's position at the revolution's end.
        """
        pose, size = self.ego_pose(time) @ sensor, (self.spec.image_height, self.spec.image_width)
        if sensor.intrinsics_33 is None:
            rays = SensorRays.from_pose(pose, rays_N3, None, ray_ages(rays_N3))
        else:
            is_image = len(rays_N3) == size[0] * size[1]
            rays = SensorRays.from_pose(pose, rays_N3, size if is_image else None, None)
        movers = []
        for index in map(int, self._in_view(time, pose, sensor)):
            mover = self._mover(index, time)
            movers.append((mover, self._candidate_rays(mover, index, rays, pose, sensor)))
        return self.static.cast_rays(rays, movers, self.light)

    def depth(self, channel: str, time: float) -> Floats:
        """Depth map [height, width] of a camera, along its optical axis; FAR_M where no surface is hit."""
        sensor, size = self.sensors[channel], (self.spec.image_height, self.spec.image_width)
        return self.cast_rays(time, sensor, camera_rays(sensor, size[1], size[0])).distance_N.reshape(size)

    def _places(self, time: float) -> Array:
        """x, y, yaw of the ego (row 0) and of all actors."""
        rows, table = self._timeline
        if time in rows:
            return table[:, rows[time]]
        return _places_of([self.ego, *(actor.motion for actor in self.actors)], [time])[:, 0]

    @functools.cached_property
    def _timeline(self) -> tuple[dict[float, int], Array]:
        """All places at all instants of the sensors, computed at once because it is slow one by one."""
        frames = range(first_frame(self.spec), self.spec.frames_per_scene)
        times = sorted({round_to_us(time) for frame in frames for time in self._instants(frame)})
        table = _places_of([self.ego, *(actor.motion for actor in self.actors)], times)
        return {time: row for row, time in enumerate(times)}, table

    def _instants(self, frame: int) -> list[float]:
        images = image_times(self.spec, frame)
        cameras = [time - sensor.lead_s for time in images for sensor in self.sensors.values()]
        ends = [*sweep_times(self.spec, frame), *cameras]
        return [*ends, *(end - REVOLUTION_S for end in ends)]

    def _mover(self, index: int, time: float) -> Mover:
        places = np.stack([self._places(at)[index + 1] for at in (time, round_to_us(time - REVOLUTION_S))])
        return mover_at(self.actors[index].asset.body, places, index + 1)

    def _in_view(self, time: float, pose: Pose, sensor: Sensor) -> NDArray[np.intp]:
        """Indices of the moving actors that a sensor can see, themselves or their shadow."""
        offset_A2 = self._places(time)[1:, :2] - pose.translation_3[:2]
        distance_A = np.hypot(*offset_A2.T)
        if sensor.intrinsics_33 is None:
            visible_A = distance_A < self.spec.lidar_reach_m + self._sizes_A
        else:
            margin_A = (SHADOW_SIZES if self.light.casts_shadows else 1.0) * self._sizes_A
            visible_A = outside_view_m(offset_A2 @ pose.rotation_33[:2], sensor) < margin_A
            visible_A &= distance_A < MOVERS_WITHIN_M
        return np.flatnonzero(visible_A & self._moves_A)

    def _candidate_rays(
        self, mover: Mover, index: int, rays: SensorRays, pose: Pose, sensor: Sensor
    ) -> NDArray[np.intp]:
        """Indices of the rays that can hit a mover."""
        if rays.age_N is not None:
            travelled = REVOLUTION_S * float(np.linalg.norm(mover.velocity_3))
            return mover.rays_near(rays.origin_3, rays.rays_N3, travelled)
        if rays.size is None:
            return np.arange(len(rays.rays_N3))
        corners = self.actors[index].asset.corners_83 @ mover.rotation_33.T + mover.at_3
        window = image_window(corners, pose, sensor, rays.size)
        if window is None:
            return np.zeros(0, np.intp)
        rows, columns = (np.arange(span.start, span.stop) for span in window)
        return (rows[:, None] * rays.size[1] + columns).reshape(-1)

    @functools.cached_property
    def _moves_A(self) -> NDArray[np.bool_]:
        return np.array([actor.motion.moves for actor in self.actors], dtype=bool)

    @functools.cached_property
    def _sizes_A(self) -> Array:
        return np.array([max(actor.asset.size_lwh) for actor in self.actors])


def round_to_us(time: float) -> float:
    """Round a time in seconds to whole microseconds, the resolution of timestamps."""
    return round(time * 1e6) / 1e6


def mover_at(body: RigidBody, places_23: Array, instance: int = 0) -> Mover:
    """A body from its place (x, y, yaw) now and its place one LiDAR revolution ago."""
    (x, y, yaw), (x_before, y_before, _) = places_23
    velocity = floats([x - x_before, y - y_before, 0.0]) / np.float32(REVOLUTION_S)
    return Mover(body, floats(rotation(yaw)), floats([x, y, 0.0]), velocity, instance)


def first_frame(spec: WorldSpec) -> int:
    """Number of the first recorded frame: key frame 0, or the lead-in before it."""
    return -1 if spec.lead_in else 0


def sweep_times(spec: WorldSpec, frame: int) -> list[float]:
    """Times of the LiDAR sweeps after the previous frame up to this one."""
    return _times(spec, frame, spec.sweeps_per_frame)


def image_times(spec: WorldSpec, frame: int) -> list[float]:
    """The same for the images, before each camera's lead."""
    return _times(spec, frame, spec.images_per_frame)


def _times(spec: WorldSpec, frame: int, count: int) -> list[float]:
    """Even steps up to a frame; the first frame of a scene has nothing before it."""
    if frame == first_frame(spec):
        return [FRAME_S * frame]
    shares = np.arange(1, count + 1) / count
    return [FRAME_S * (frame - 1 + float(share)) for share in shares]


def _places_of(motions: list[Motion], times: list[float]) -> Array:
    """Places [motion, time, (x, y, yaw)]."""
    return np.stack([np.column_stack(motion.at(np.array(times))) for motion in motions])
