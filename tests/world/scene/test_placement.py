"""An object at a known place appears in the right camera and in the right quadrant of the LiDAR."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dualdistill.config.nuscenes import CAMERAS
from dualdistill.config.world import WorldSpec
from dualdistill.world.geometry.motion import stationary
from dualdistill.world.objects import assets
from dualdistill.world.scene import background
from dualdistill.world.scene.sample import draw_scene, static_scene
from dualdistill.world.scene.scene import Scene
from dualdistill.world.scene.traffic import Actor
from dualdistill.world.sensors.lidar import measure
from dualdistill.world.sensors.rig import (
    LIDAR,
    MOUNTS,
    camera_rays,
    ground_pose,
    image_window,
    lidar_rays,
    make_rig,
)

SPEC = WorldSpec(seed=5, frames_per_scene=2, image_height=90, image_width=160, density=0.0)


@pytest.fixture(scope="module")
def empty() -> Scene:
    return draw_scene(SPEC, "world_train", 0)


def with_car_at(empty: Scene, ahead: float, left: float, relative_yaw: float = 0.0) -> Scene:
    """A street with a single car, placed relative to the ego at t = 0."""
    pose = empty.ego_pose(0.0)
    x, y, _ = pose.rotation_33 @ (ahead, left, 0.0) + pose.translation_3
    yaw = np.arctan2(pose.rotation_33[1, 0], pose.rotation_33[0, 0]) + relative_yaw
    car = Actor(
        assets.vehicle(np.random.default_rng(0), "car"), stationary(x, y, float(yaw)), "vehicle.parked"
    )
    return replace(
        empty, actors=(car,), static=static_scene(background.ground(empty.town), (car,), empty.light)
    )


def pixels_of(scene: Scene, channel: str) -> np.ndarray:
    sensor = scene.sensors[channel]
    hits = scene.cast_rays(0.0, sensor, camera_rays(sensor, SPEC.image_width, SPEC.image_height))
    return np.argwhere(hits.instance_N.reshape(SPEC.image_height, SPEC.image_width) == 1)


def test_a_world_with_zero_density_has_no_objects(empty: Scene) -> None:
    assert empty.actors == ()


@pytest.mark.parametrize(
    ("ahead", "left", "channel", "quadrant"),
    [
        (7.0, 7.5, "CAM_FRONT_LEFT", (-1, 1)),
        (7.0, -8.0, "CAM_FRONT_RIGHT", (1, 1)),
        (-3.0, -7.0, "CAM_BACK_RIGHT", (1, -1)),
        (-2.0, 8.0, "CAM_BACK_LEFT", (-1, -1)),
    ],
)
def test_a_car_appears_in_the_camera_and_in_the_lidar_quadrant_of_its_place(
    empty: Scene, ahead: float, left: float, channel: str, quadrant: tuple[int, int]
) -> None:
    scene = with_car_at(empty, ahead, left, relative_yaw=0.7)
    counts = {name: len(pixels_of(scene, name)) for name in CAMERAS}
    assert max(counts, key=lambda name: counts[name]) == channel
    rays, rings = lidar_rays(SPEC, 0.0)
    hits = scene.cast_rays(0.0, scene.sensors[LIDAR], rays)
    cloud = measure(hits, rays, rings, SPEC, np.random.default_rng(0))
    x, y, z = np.median(cloud.points_P5[cloud.instance_P == 1, :3], axis=0)
    assert (np.sign(x), np.sign(y)) == quadrant, "LIDAR_TOP has x right, y ahead"
    assert abs(x + left) < 2.5
    assert abs(y - (ahead - 0.94)) < 2.5
    assert -1.84 < z < 0


def test_a_car_on_the_left_is_on_the_left_of_the_image(empty: Scene) -> None:
    column = pixels_of(with_car_at(empty, 14.0, 4.0), "CAM_FRONT")[:, 1]
    assert column.max() < SPEC.image_width / 2
    column = pixels_of(with_car_at(empty, -14.0, 4.0), "CAM_BACK")[:, 1]
    assert column.min() > SPEC.image_width / 2, "looking back, the ego's left is on the right"


def test_front_and_rear_of_a_car_differ(empty: Scene) -> None:
    """A car ahead of the ego shows red rear lights when it faces away, and white lights otherwise."""
    away, towards = (with_car_at(empty, 9.0, 0.0, yaw) for yaw in (0.0, np.pi))

    def redness(scene: Scene) -> float:
        sensor = scene.sensors["CAM_FRONT"]
        hits = scene.cast_rays(0.0, sensor, camera_rays(sensor, SPEC.image_width, SPEC.image_height))
        colour = hits.surface.shadow_3T[:, hits.triangle_N[hits.instance_N == 1]]
        return float(((colour[0] > 0.4) & (colour[1] < 0.1)).mean())

    assert redness(away) > 2 * redness(towards) + 0.005


def test_a_lower_image_is_cropped_at_the_top() -> None:
    """Its rows are the last rows of the full image, ray by ray."""
    full = make_rig(np.random.default_rng(2), SPEC)
    lower = make_rig(np.random.default_rng(2), replace(SPEC, image_height=58))
    for channel in MOUNTS:
        expected = camera_rays(full[channel], SPEC.image_width, SPEC.image_height).reshape(90, 160, 3)[32:]
        rays = camera_rays(lower[channel], SPEC.image_width, 58).reshape(58, 160, 3)
        assert np.allclose(rays, expected, atol=1e-5)


def test_the_window_of_a_box_that_reaches_behind_the_camera_covers_the_part_in_front() -> None:
    """A long box on the left: its window spans from the left edge to the box's far end."""
    sensor = make_rig(np.random.default_rng(2), SPEC)["CAM_FRONT"]
    pose = ground_pose((0.0, 0.0), 0.0) @ sensor
    x, y, z = np.meshgrid([-10.0, 20.0], [2.0, 4.0], [0.0, 3.0])
    corners = np.stack([x.ravel(), y.ravel(), z.ravel()], 1)
    result = image_window(corners, pose, sensor, (90, 160))
    assert result is not None
    points = (corners - pose.translation_3) @ pose.rotation_33 @ sensor.intrinsics_33.T
    far = points[points[:, 2] > 0]
    assert result[1] == slice(0, int(np.ceil((far[:, 0] / far[:, 2]).max())))
    assert image_window(corners - (40.0, 0.0, 0.0), pose, sensor, (90, 160)) is None
