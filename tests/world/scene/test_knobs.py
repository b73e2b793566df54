"""Every knob of the world changes its difficulty in the expected direction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dualdistill.config.world import WorldSpec
from dualdistill.world.scene.sample import draw_scene
from dualdistill.world.scene.scene import Scene
from dualdistill.world.sensors.lidar import measure
from dualdistill.world.sensors.rig import LIDAR, MOUNTS, camera_rays, lidar_rays
from dualdistill.world.sensors.visibility import CameraView, visibility_level

SPEC = WorldSpec(
    seed=4,
    frames_per_scene=2,
    image_height=36,
    image_width=64,
    radius_m=16.0,
    lidar_azimuths=180,
    weather=0.0,
)
SCENES = 3


def draw_scenes(spec: WorldSpec) -> list[Scene]:
    return [draw_scene(spec, "world_train", number) for number in range(SCENES)]


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return draw_scenes(SPEC)


def returns(spec: WorldSpec, scenes: list[Scene]) -> float:
    """LiDAR returns per object of some scenes, measured with the LiDAR of a spec."""
    rays, rings = lidar_rays(spec, 0.0)
    per_object = []
    for scene in scenes:
        hits = scene.cast_rays(0.0, scene.sensors[LIDAR], rays)
        cloud = measure(hits, rays, rings, spec, np.random.default_rng(0), scene.weather)
        per_object.append((cloud.instance_P > 0).sum() / len(scene.actors))
    return float(np.mean(per_object))


def visibility(scenes: list[Scene]) -> float:
    """Mean visibility level, 1 to 4, of the objects within the radius."""
    levels = []
    for scene in scenes:
        views = []
        for channel in MOUNTS:
            sensor = scene.sensors[channel]
            rays = camera_rays(sensor, SPEC.image_width, SPEC.image_height)
            instances = scene.cast_rays(0.0, sensor, rays).instance_N
            shape = SPEC.image_height, SPEC.image_width
            views.append(
                CameraView(sensor, scene.ego_pose(0.0) @ sensor, 0.0, rays, instances.reshape(shape))
            )
        at = scene.ego_pose(0.0).translation_3[:2]
        for instance in range(1, len(scene.actors) + 1):
            if np.hypot(*(scene.place(instance, 0.0)[0] - at)) < SPEC.radius_m:
                levels.append(int(visibility_level(scene, instance, views)))
    return float(np.mean(levels))


def test_density_adds_objects(scenes: list[Scene]) -> None:
    counts = [
        sum(len(scene.actors) for scene in draw_scenes(replace(SPEC, density=share))) for share in (0.5, 2.0)
    ]
    assert counts[0] < sum(len(scene.actors) for scene in scenes) < counts[1]


def test_a_larger_radius_adds_objects(scenes: list[Scene]) -> None:
    larger = draw_scenes(replace(SPEC, radius_m=25.6))
    assert sum(len(scene.actors) for scene in larger) > sum(len(scene.actors) for scene in scenes)


def test_occlusion_hides_objects() -> None:
    few, many = (
        visibility(
            [draw_scene(replace(SPEC, occlusion=amount), "world_train", number) for number in range(6)]
        )
        for amount in (0.0, 8.0)
    )
    assert many < few - 0.1


@pytest.mark.parametrize("harder", [{"lidar_beams": 16}, {"lidar_azimuths": 90}, {"lidar_dropout": 0.5}])
def test_a_worse_lidar_has_fewer_returns_per_object(scenes: list[Scene], harder: dict) -> None:
    assert 0 < returns(replace(SPEC, **harder), scenes) < 0.9 * returns(SPEC, scenes)


def test_dropout_is_the_share_of_lost_returns(scenes: list[Scene]) -> None:
    lost = 1 - returns(replace(SPEC, lidar_dropout=0.3), scenes) / returns(SPEC, scenes)
    assert lost == pytest.approx(0.3, abs=0.05)


def test_range_noise_roughens_the_ground(scenes: list[Scene]) -> None:
    rays, rings = lidar_rays(SPEC, 0.0)
    steep = rays[:, 2] < -0.4  # rays down to the street around the car
    residuals = []
    for noise in (0.0, 0.02, 0.1):
        spec = replace(SPEC, lidar_noise_m=noise)
        hits = scenes[0].cast_rays(0.0, scenes[0].sensors[LIDAR], rays)
        cloud = measure(hits, rays, rings, spec, np.random.default_rng(0), scenes[0].weather)
        down = cloud.points_P5[np.isin(cloud.points_P5[:, 4], rings[steep]) & (cloud.instance_P == 0)]
        residuals.append(float(np.abs(down[:, 2] - np.median(down[:, 2])).mean()))
    assert residuals[0] < residuals[1] < residuals[2]


def test_a_larger_image_shows_the_same_scene(scenes: list[Scene]) -> None:
    sensor = scenes[0].sensors["CAM_FRONT"]
    shares = []
    for scale in (1, 2):
        spec = replace(SPEC, image_height=36 * scale, image_width=64 * scale)
        scene = draw_scene(spec, "world_train", 0)
        rays = camera_rays(scene.sensors["CAM_FRONT"], spec.image_width, spec.image_height)
        hits = scene.cast_rays(0.0, scene.sensors["CAM_FRONT"], rays)
        assert len(hits.instance_N) == spec.image_height * spec.image_width
        shares.append((hits.instance_N > 0).mean())
    assert sensor.intrinsics_33 is not None
    assert shares[0] == pytest.approx(shares[1], abs=0.03)
