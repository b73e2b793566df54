"""Assignment of weather to scenes, and its effects on the sensors."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from dualdistill.config.world import WorldSpec
from dualdistill.world.nuscenes import describe
from dualdistill.world.scene.sample import draw_scene
from dualdistill.world.scene.scene import Scene
from dualdistill.world.scene.weather import BAD, CLEAR, Weather, weather_of_scene
from dualdistill.world.sensors import camera
from dualdistill.world.sensors.lidar import Cloud, measure
from dualdistill.world.sensors.rig import LIDAR, camera_rays, lidar_rays

SPEC = WorldSpec(seed=8, frames_per_scene=2, image_height=45, image_width=80, lidar_azimuths=360)
SIZE = (SPEC.image_height, SPEC.image_width)
NIGHT = next(kind for kind in BAD if kind.label == "Night")
RAIN, FOG = BAD[0], next(kind for kind in BAD if kind.label == "Fog")


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(SPEC, "world_train", number) for number in range(15)]


def cloud_in(scene: Scene, weather: Weather) -> Cloud:
    rays, rings = lidar_rays(SPEC, 0.0)
    hits = scene.cast_rays(0.0, scene.sensors[LIDAR], rays)
    return measure(hits, rays, rings, SPEC, np.random.default_rng(0), weather)


def places(scene: Scene) -> list[list[float]]:
    """x, y, yaw of all actors at t = 0."""
    return [np.column_stack(actor.motion.at([0.0]))[0].tolist() for actor in scene.actors]


def ranges(cloud: Cloud) -> np.ndarray:
    return np.linalg.norm(cloud.points_P5[:, :3], axis=1)


def image(scene: Scene, channel: str = "CAM_FRONT") -> np.ndarray:
    sensor = scene.sensors[channel]
    hits = scene.cast_rays(0.0, sensor, camera_rays(sensor, SIZE[1], SIZE[0]))
    return camera.render_image(hits, scene.light, scene.ego_pose(0.0), SIZE, np.random.default_rng(0))


@pytest.mark.parametrize("scenes", [15, 25, 40, 150])
def test_every_kind_of_weather_has_its_share_of_a_split(scenes: int) -> None:
    kinds = Counter(weather_of_scene(1.0, number) for number in range(scenes))
    assert set(kinds) == {CLEAR, *BAD}
    assert kinds.most_common(1)[0][0] is CLEAR
    counts = [kinds[kind] for kind in BAD]
    assert max(counts) - min(counts) <= 1


def test_the_mix_scales_the_share_of_bad_weather() -> None:
    bad = [
        sum(weather_of_scene(mix, number) is not CLEAR for number in range(100)) for mix in (0, 0.25, 0.5, 1)
    ]
    assert bad == [0, 10, 20, 40]


def test_descriptions_begin_with_the_weather(scenes: list[Scene]) -> None:
    assert len({scene.weather.label for scene in scenes}) == 1 + len(BAD)
    for scene in scenes:
        row = describe.scene_tables(scene, [{"token": "only"}], {})["scene"][0]
        assert row["description"].startswith(scene.weather.label + ", ")


def test_weather_leaves_the_objects_in_place(scenes: list[Scene]) -> None:
    for number, scene in enumerate(scenes[:2]):
        clear = draw_scene(replace(SPEC, weather=0.0), "world_train", number)
        assert clear.weather is CLEAR
        assert places(clear) == places(scene)


def test_night_is_darker_than_day_but_not_black(scenes: list[Scene]) -> None:
    brightness = {scene.weather.label: image(scene).mean() for scene in scenes}
    assert brightness["Night"] < 0.75 * brightness["Clear day"]
    assert brightness["Night"] > 30


def test_fog_reduces_contrast_and_rain_darkens_the_ground(scenes: list[Scene]) -> None:
    by_words = {scene.weather.label: scene for scene in scenes}
    hazy = by_words["Fog"]
    clearer = replace(hazy, light=replace(hazy.light, fog_per_m=0.0))
    assert image(hazy).std() < 0.9 * image(clearer).std()
    wet = by_words["Rain"]
    dry = replace(wet, light=replace(wet.light, wet=False))
    assert np.median(image(wet)[-8:]) < np.median(image(dry)[-8:])


def test_rain_and_fog_shorten_the_lidar_s_range_and_add_echoes(scenes: list[Scene]) -> None:
    clear = cloud_in(scenes[0], CLEAR)
    for weather in (RAIN, FOG):
        cloud = cloud_in(scenes[0], weather)
        assert ranges(cloud).max() < SPEC.lidar_reach_m * weather.reach + 0.2
        assert ranges(cloud).max() < ranges(clear).max()
        assert len(cloud.points_P5) < 0.95 * len(clear.points_P5)
        close = (ranges(cloud) < 1.5).sum() - (ranges(clear) < 1.5).sum()
        assert close > 5, "echoes of drops near the sensor"
        assert len(cloud.points_P5) == len(cloud.instance_P)
    assert np.array_equal(cloud_in(scenes[0], NIGHT).points_P5, clear.points_P5), (
        "the LiDAR does not depend on daylight"
    )
