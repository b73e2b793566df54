"""An object put at a known place shows up in the right camera and in the right quarter of the LiDAR."""

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


def with_car_at(empty: Scene, ahead: float, left: float, turned: float = 0.0) -> Scene:
    """A street with one car, placed relative to the ego at t = 0."""
    pose = empty.ego_pose(0.0)
    x, y, _ = pose.rotation_33 @ (ahead, left, 0.0) + pose.translation_3
    yaw = np.arctan2(pose.rotation_33[1, 0], pose.rotation_33[0, 0]) + turned
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


def test_a_world_of_density_zero_has_no_objects(empty: Scene) -> None:
    assert empty.actors == ()


@pytest.mark.parametrize(
    ("ahead", "left", "channel", "quarter"),
    [
        (7.0, 7.5, "CAM_FRONT_LEFT", (-1, 1)),
        (7.0, -8.0, "CAM_FRONT_RIGHT", (1, 1)),
        (-3.0, -7.0, "CAM_BACK_RIGHT", (1, -1)),
        (-2.0, 8.0, "CAM_BACK_LEFT", (-1, -1)),
    ],
)
def test_a_car_off_the_diagonal_is_where_it_was_put(
    empty: Scene, ahead: float, left: float, channel: str, quarter: tuple[int, int]
) -> None:
    scene = with_car_at(empty, ahead, left, turned=0.7)
    counts = {name: len(pixels_of(scene, name)) for name in CAMERAS}
    assert max(counts, key=lambda name: counts[name]) == channel
    rays, rings = lidar_rays(SPEC, 0.0)
    hits = scene.cast_rays(0.0, scene.sensors[LIDAR], rays)
    cloud = measure(hits, rays, rings, SPEC, np.random.default_rng(0))
    x, y, z = np.median(cloud.points_P5[cloud.instance_P == 1, :3], axis=0)
    assert (np.sign(x), np.sign(y)) == quarter, "LIDAR_TOP has x right, y ahead"
    assert abs(x + left) < 2.5
    assert abs(y - (ahead - 0.94)) < 2.5
    assert -1.84 < z < 0


def test_a_car_on_the_left_is_left_in_the_picture(empty: Scene) -> None:
    column = pixels_of(with_car_at(empty, 14.0, 4.0), "CAM_FRONT")[:, 1]
    assert column.max() < SPEC.image_width / 2
    column = pixels_of(with_car_at(empty, -14.0, 4.0), "CAM_BACK")[:, 1]
    assert column.min() > SPEC.image_width / 2, "looking back, the ego's left is on the right"


def test_front_and_rear_of_a_car_differ(empty: Scene) -> None:
    """Red lights behind, white before: seen from behind, a car that drives ahead shows its rear."""
    ahead, towards = (with_car_at(empty, 9.0, 0.0, turned) for turned in (0.0, np.pi))

    def redness(scene: Scene) -> float:
        sensor = scene.sensors["CAM_FRONT"]
        hits = scene.cast_rays(0.0, sensor, camera_rays(sensor, SPEC.image_width, SPEC.image_height))
        colour = hits.surface.shadow_3T[:, hits.triangle_N[hits.instance_N == 1]]
        return float(((colour[0] > 0.4) & (colour[1] < 0.1)).mean())

    assert redness(ahead) > 2 * redness(towards) + 0.005


def test_a_lower_picture_lacks_the_rows_at_the_top() -> None:
    """Its rows are the last ones of the whole picture, ray by ray."""
    whole = make_rig(np.random.default_rng(2), SPEC)
    lower = make_rig(np.random.default_rng(2), replace(SPEC, image_height=58))
    for channel in MOUNTS:
        expected = camera_rays(whole[channel], SPEC.image_width, SPEC.image_height).reshape(90, 160, 3)[32:]
        found = camera_rays(lower[channel], SPEC.image_width, 58).reshape(58, 160, 3)
        assert np.allclose(found, expected, atol=1e-5)


def test_of_what_reaches_behind_the_camera_the_part_before_it_counts() -> None:
    """A long box at the left: its window begins at the left edge and ends where its far end is seen."""
    sensor = make_rig(np.random.default_rng(2), SPEC)["CAM_FRONT"]
    pose = ground_pose((0.0, 0.0), 0.0) @ sensor
    x, y, z = np.meshgrid([-10.0, 20.0], [2.0, 4.0], [0.0, 3.0])
    corners = np.stack([x.ravel(), y.ravel(), z.ravel()], 1)
    found = image_window(corners, pose, sensor, (90, 160))
    assert found is not None
    seen = (corners - pose.translation_3) @ pose.rotation_33 @ sensor.intrinsics_33.T
    far = seen[seen[:, 2] > 0]
    assert found[1] == slice(0, int(np.ceil((far[:, 0] / far[:, 2]).max())))
    assert image_window(corners - (40.0, 0.0, 0.0), pose, sensor, (90, 160)) is None
