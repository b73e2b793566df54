"""One scene: a town, its light, its traffic and the ego's drive, in global coordinates, ready to be looked at.

A scene is a pure function of the spec, the split and its number.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from dualdistill.spec import CLASSES, WorldSpec
from dualdistill.world import background, light, traffic
from dualdistill.world.cast import Hits, Stage, Surface
from dualdistill.world.light import Light
from dualdistill.world.mesh import Mesh, join
from dualdistill.world.motion import Array, Motion, Occupancy
from dualdistill.world.sensors import FRAME_S, LIDAR, Pose, Sensor, lidar_rays, on_ground, rig
from dualdistill.world.town import Town, plan
from dualdistill.world.traffic import EGO_AHEAD_M, EGO_LENGTH_M, EGO_WIDTH_M, Actor

SPLITS = ("world_train", "world_dev", "world_val")
ATTEMPTS = 6  # a scene is drawn again until the LiDAR meets every class
BACKDROP_M = 55.0  # of street beyond the LiDAR's reach
SEEN_M = 90.0  # movers further away are left out
# independent streams of one scene's randomness, so that a sensor's noise does not move the houses
PLACES, CALIBRATION, NOISE = range(3)


@dataclass(frozen=True)
class Scene:
    spec: WorldSpec
    split: str
    number: int
    light: Light
    sensors: dict[str, Sensor]
    ego: Motion
    actors: tuple[Actor, ...]  # instance i + 1 in masks and clouds
    town: Town
    yaw: float  # of the town in the map
    stage: Stage

    @property
    def name(self) -> str:
        return f"{self.split.replace('_', '-')}-{self.number:04d}"

    @property
    def map_size_m(self) -> float:
        return 2 * (self.town.reach + 30.0)

    def ego_pose(self, time: float) -> Pose:
        xy, yaw = self.ego.at([time])
        return on_ground(xy[0], float(yaw[0]))

    def place(self, instance: int, time: float) -> tuple[Array, float]:
        """Position and heading of an actor; what stands is looked up, not computed."""
        if instance in self._standing:
            return self._standing[instance]
        xy, yaw = self.actors[instance - 1].motion.at([time])
        return xy[0], float(yaw[0])

    @functools.cached_property
    def _standing(self) -> dict[int, tuple[Array, float]]:
        found = {}
        for instance, actor in enumerate(self.actors, start=1):
            if not actor.motion.moves:
                xy, yaw = actor.motion.at([0.0])
                found[instance] = (xy[0], float(yaw[0]))
        return found

    def look(self, time: float, sensor: Sensor, rays_N3: np.ndarray, reach: float = SEEN_M) -> Hits:
        """Cast a sensor's rays at an instant, with everything that moves where it is then."""
        pose = self.ego_pose(time) @ sensor
        return self.stage.cast(
            pose, rays_N3, self._movers(time, pose, reach, sensor.intrinsics_33 is not None)
        )

    def _movers(self, time: float, pose: Pose, reach: float, ahead_only: bool) -> Surface | None:
        meshes, owners = [], []
        for instance, actor in enumerate(self.actors, start=1):
            if not actor.motion.moves:
                continue
            xy, yaw = self.place(instance, time)
            gap = xy - pose.translation_3[:2]
            size = max(actor.asset.size_lwh)
            if np.hypot(*gap) > reach + size:
                continue
            # behind a camera only what may throw a shadow into the picture counts
            if ahead_only and gap @ pose.rotation_33[:2, 2] < -2.5 * size:
                continue
            meshes.append(actor.asset.mesh.moved(float(xy[0]), float(xy[1]), 0.0, yaw))
            owners.append(np.full(len(meshes[-1].corners_T33), instance, np.uint16))
        return Surface.of(join(meshes), np.concatenate(owners), self.light) if meshes else None


def key_times(spec: WorldSpec) -> Array:
    return FRAME_S * np.arange(spec.frames_per_scene)


def generator(spec: WorldSpec, split: str, number: int, *stream: int) -> np.random.Generator:
    return np.random.default_rng([spec.seed, SPLITS.index(split), number, *stream])


def build(spec: WorldSpec, split: str, number: int) -> Scene:
    """Draw scenes until one shows every class to the LiDAR, else the one that shows most."""
    best, most = None, -1
    for attempt in range(ATTEMPTS):
        scene = _draw(spec, split, number, generator(spec, split, number, PLACES, attempt))
        classes = len(_met(scene))
        if classes > most:
            best, most = scene, classes
        if most == len(CLASSES):
            break
    assert best is not None
    return best


def _draw(spec: WorldSpec, split: str, number: int, rng: np.random.Generator) -> Scene:
    seconds = max(FRAME_S, float(key_times(spec)[-1]))
    town = plan(rng, reach=spec.radius_m + BACKDROP_M + 6.0 * seconds)
    drive = traffic.ego_drive(rng, town, seconds)
    occupied = Occupancy(np.arange(-traffic.HISTORY_S - 0.25, seconds + 0.5, 0.25))
    occupied.add(replace(drive.motion, offset_m=EGO_AHEAD_M), EGO_LENGTH_M + 0.6, EGO_WIDTH_M + 0.4)
    static = [
        background.ground(town),
        background.houses(rng, town),
        background.furniture(rng, town, occupied),
    ]
    actors = traffic.populate(rng, town, drive, occupied, spec.radius_m, spec.density)
    yaw, half = float(rng.uniform(-np.pi, np.pi)), town.reach + 30.0
    lighting = light.draw(rng)
    placed = tuple(replace(actor, motion=actor.motion.turned(yaw, (half, half))) for actor in actors)
    standing = _standing(join(static).moved(half, half, 0.0, yaw), placed, lighting)
    sensors = rig(generator(spec, split, number, CALIBRATION), spec)
    ego = drive.motion.turned(yaw, (half, half))
    return Scene(spec, split, number, lighting, sensors, ego, placed, town, yaw, Stage(standing))


def _standing(static: Mesh, actors: tuple[Actor, ...], lighting: Light) -> Surface:
    meshes, owners = [static], [np.zeros(len(static.corners_T33), np.uint16)]
    for instance, actor in enumerate(actors, start=1):
        if not actor.motion.moves:
            xy, yaw = actor.motion.at([0.0])
            meshes.append(actor.asset.mesh.moved(float(xy[0, 0]), float(xy[0, 1]), 0.0, float(yaw[0])))
            owners.append(np.full(len(meshes[-1].corners_T33), instance, np.uint16))
    return Surface.of(join(meshes), np.concatenate(owners), lighting)


def _met(scene: Scene) -> set[str]:
    """Classes of which the LiDAR, at half its resolution, meets an object in some key frame."""
    spec = replace(scene.spec, lidar_azimuths=max(1, scene.spec.lidar_azimuths // 2))
    rays, _ = lidar_rays(spec, 0.0)
    met: set[str] = set()
    for time in key_times(spec):
        hits = scene.look(float(time), scene.sensors[LIDAR], rays, reach=spec.radius_m)
        near = hits.distance_N < spec.radius_m
        instances, counts = np.unique(hits.instance_N[near], return_counts=True)
        met |= {scene.actors[i - 1].asset.name for i, count in zip(instances, counts, strict=False) if i > 0 and count > 2}
    return met
