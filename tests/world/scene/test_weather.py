"""Which scene has which light and weather, and what that does to the sensors."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from dualdistill.config.world import WorldSpec
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


def ranges(cloud: Cloud) -> np.ndarray:
    return np.linalg.norm(cloud.points_P5[:, :3], axis=1)


def picture(scene: Scene, channel: str = "CAM_FRONT") -> np.ndarray:
    sensor = scene.sensors[channel]
    hits = scene.cast_rays(0.0, sensor, camera_rays(sensor, SIZE[1], SIZE[0]))
    return camera.render_image(hits, scene.light, scene.ego_pose(0.0), SIZE, np.random.default_rng(0))


@pytest.mark.parametrize("scenes", [15, 25, 40, 150])
def test_every_kind_has_its_share_of_every_split(scenes: int) -> None:
    found = Counter(weather_of_scene(1.0, number) for number in range(scenes))
    assert set(found) == {CLEAR, *BAD}
    assert found.most_common(1)[0][0] is CLEAR
    counts = [found[kind] for kind in BAD]
    assert max(counts) - min(counts) <= 1


def test_the_mix_goes_from_always_clear_to_the_default() -> None:
    bad = [
        sum(weather_of_scene(mix, number) is not CLEAR for number in range(100)) for mix in (0, 0.25, 0.5, 1)
    ]
    assert bad == [0, 10, 20, 40]


def test_descriptions_begin_with_the_weather(scenes: list[Scene]) -> None:
    from dualdistill.world.nuscenes import describe

    assert len({scene.weather.label for scene in scenes}) == 1 + len(BAD)
    for scene in scenes:
        row = describe.scene_tables(scene, [{"token": "only"}], {})["scene"][0]
        assert row["description"].startswith(scene.weather.label + ", ")


def test_weather_moves_no_houses_and_no_cars(scenes: list[Scene]) -> None:
    for number, scene in enumerate(scenes[:2]):
        clear = draw_scene(replace(SPEC, weather=0.0), "world_train", number)
        assert clear.weather is CLEAR
        assert [actor.motion.at([0.0]) for actor in clear.actors].__repr__() == [
            actor.motion.at([0.0]) for actor in scene.actors
        ].__repr__()


def test_night_is_darker_than_day_and_not_black(scenes: list[Scene]) -> None:
    brightness = {scene.weather.label: picture(scene).mean() for scene in scenes}
    assert brightness["Night"] < 0.75 * brightness["Clear day"]
    assert brightness["Night"] > 30


def test_fog_takes_contrast_and_rain_darkens_the_ground(scenes: list[Scene]) -> None:
    by_words = {scene.weather.label: scene for scene in scenes}
    hazy = by_words["Fog"]
    clearer = replace(hazy, light=replace(hazy.light, fog_per_m=0.0))
    assert picture(hazy).std() < 0.9 * picture(clearer).std()
    wet = by_words["Rain"]
    dry = replace(wet, light=replace(wet.light, wet=False))
    assert np.median(picture(wet)[-8:]) < np.median(picture(dry)[-8:])


def test_rain_and_fog_shorten_the_lidar_s_reach_and_return_by_themselves(scenes: list[Scene]) -> None:
    clear = cloud_in(scenes[0], CLEAR)
    for weather in (RAIN, FOG):
        cloud = cloud_in(scenes[0], weather)
        assert ranges(cloud).max() < SPEC.lidar_reach_m * weather.reach + 0.2
        assert ranges(cloud).max() < ranges(clear).max()
        assert len(cloud.points_P5) < 0.95 * len(clear.points_P5)
        close = (ranges(cloud) < 1.5).sum() - (ranges(clear) < 1.5).sum()
        assert close > 5, "drops right before the sensor"
        assert len(cloud.points_P5) == len(cloud.instance_P)
    assert np.array_equal(cloud_in(scenes[0], NIGHT).points_P5, clear.points_P5), "it brings its own light"
