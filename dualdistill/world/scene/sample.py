"""Random scenes from a spec: the same spec, split and number always give the same scene."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from dualdistill.config.world import WorldSpec
from dualdistill.world.geometry.mesh import Mesh, join
from dualdistill.world.geometry.motion import Array
from dualdistill.world.geometry.raytrace import RayTracer
from dualdistill.world.scene import background, light, occluders, placement, traffic, weather
from dualdistill.world.scene.coverage import Coverage
from dualdistill.world.scene.light import Light
from dualdistill.world.scene.night import LampLight
from dualdistill.world.scene.scene import Scene
from dualdistill.world.scene.town import Town, draw_town
from dualdistill.world.scene.traffic import Actor, Drive, Placer
from dualdistill.world.scene.weather import Weather
from dualdistill.world.sensors.raycast import StaticScene, Surface
from dualdistill.world.sensors.rig import FRAME_S, LIDAR, Sensor, make_rig

SPLITS = ("world_train", "world_dev", "world_val", "world_pretrain")
ADDITIONS = 5  # rounds in which an object is added of each class that the LiDAR does not hit
DRAWS = 4  # of the traffic, where additions do not suffice
BACKDROP_M = 55.0  # of street beyond the annotated radius
# independent random streams of a scene, so that neither noise nor weather changes its geometry
PLACES, TRAFFIC, CALIBRATION, NOISE, LIGHT, OCCLUDERS = range(6)


@dataclass(frozen=True)
class Surroundings:
    """A scene without its traffic."""

    town: Town
    drive: Drive
    static: Mesh
    obstacles_K4: Array  # footprints of street furniture: x, y, yaw, size
    weather: Weather
    light: Light
    yaw: float

    @functools.cached_property
    def tracer(self) -> RayTracer:
        return RayTracer(self.static)


def scene_rng(spec: WorldSpec, split: str, number: int, *stream: int) -> np.random.Generator:
    return np.random.default_rng([spec.seed, SPLITS.index(split), number, *stream])


def draw_scene(spec: WorldSpec, split: str, number: int) -> Scene:
    """Redraw the traffic until the LiDAR hits every class; failing that, take the draw that misses fewest."""
    surroundings = _draw_surroundings(spec, split, number)
    sensors = make_rig(scene_rng(spec, split, number, CALIBRATION), spec)
    draws = []
    for attempt in range(DRAWS):
        placer, missing = _draw_traffic(spec, split, number, surroundings, sensors, attempt)
        draws.append((len(missing), attempt, placer))
        if not missing:
            break
    placer = min(draws)[2]
    actors = tuple(placer.actors)
    return Scene(
        spec,
        split,
        number,
        weather=surroundings.weather,
        light=surroundings.light,
        sensors=sensors,
        ego=surroundings.drive.motion,
        actors=actors,
        town=surroundings.town,
        yaw=surroundings.yaw,
        static=static_scene(join([surroundings.static, *placer.occluders]), actors, surroundings.light),
    )


def _draw_traffic(
    spec: WorldSpec,
    split: str,
    number: int,
    surroundings: Surroundings,
    sensors: dict[str, Sensor],
    attempt: int,
) -> tuple[Placer, list[str]]:
    """The traffic, and the classes that the LiDAR does not hit even after objects were added."""
    rng = scene_rng(spec, split, number, TRAFFIC, attempt)
    placer = Placer(rng, surroundings.town, surroundings.drive, surroundings.obstacles_K4, spec.radius_m)
    if spec.density == 0:
        return placer, []
    names = placement.classes_of_scene(number)
    placement.populate(placer, spec.density, names)
    occluder_rng = scene_rng(spec, split, number, OCCLUDERS, attempt)
    occluders.add_occluders(placer, occluder_rng, spec.occlusion, spec.density * placer.corridor_m)
    tracers = [surroundings.tracer, *([RayTracer(join(placer.occluders))] if placer.occluders else [])]
    coverage = Coverage(spec, sensors[LIDAR], surroundings.drive, tracers)
    for _ in range(ADDITIONS):
        hit = coverage.classes_hit(placer.actors)
        missing = [name for name in names if name not in hit]
        if not missing:
            break
        for name in missing:
            placement.add_close(placer, name)
    return placer, missing


def _draw_surroundings(spec: WorldSpec, split: str, number: int) -> Surroundings:
    rng = scene_rng(spec, split, number, PLACES)
    seconds = FRAME_S * max(1, spec.frames_per_scene - 1)
    town = draw_town(rng, half_length=spec.radius_m + BACKDROP_M + 6.0 * seconds)
    drive = traffic.ego_drive(rng, town, seconds)
    yaw = float(rng.uniform(-np.pi, np.pi))
    houses = background.houses(rng, town)
    furniture, obstacles = background.furniture(rng, town)
    static = join([background.ground(town), houses, furniture])
    kind = weather.weather_of_scene(spec.weather, number)
    lamps = LampLight.from_lamps(background.lamp_places(town), town.half_length) if kind.dark else None
    lighting = light.draw_light(scene_rng(spec, split, number, LIGHT), kind, lamps)
    return Surroundings(town, drive, static, obstacles, kind, lighting, yaw)


def static_scene(static: Mesh, actors: tuple[Actor, ...], lighting: Light) -> StaticScene:
    """Join the background and the stationary actors into one mesh."""
    meshes, instances = [static], [np.zeros(len(static.corners_T33), np.uint16)]
    for instance, actor in enumerate(actors, start=1):
        if not actor.motion.moves:
            xy, yaw = actor.motion.at([0.0])
            meshes.append(actor.asset.mesh.moved(float(xy[0, 0]), float(xy[0, 1]), 0.0, float(yaw[0])))
            instances.append(np.full(len(meshes[-1].corners_T33), instance, np.uint16))
    mesh = join(meshes)
    return StaticScene(mesh, Surface.of(mesh, mesh.normals_T3, np.concatenate(instances), lighting))
