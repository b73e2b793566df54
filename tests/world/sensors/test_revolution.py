"""Objects move during a LiDAR revolution: rays emitted earlier hit them where they were then."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dualdistill.config.world import WorldSpec
from dualdistill.world.geometry.motion import Motion, constant_speed, polyline, stationary
from dualdistill.world.objects import assets
from dualdistill.world.scene import background
from dualdistill.world.scene.sample import draw_scene, static_scene
from dualdistill.world.scene.scene import Scene
from dualdistill.world.scene.traffic import Actor
from dualdistill.world.sensors.rig import LIDAR, MOUNTS, REVOLUTION_S, lidar_rays, ray_ages

SPEC = WorldSpec(seed=5, frames_per_scene=2, image_height=18, image_width=32, density=0.0, weather=0.0)
SPEED = 12.0
# a place left of the ego, just after the seam, scanned at the beginning of the revolution
AHEAD, LEFT = 2.0, 8.0


@pytest.fixture(scope="module")
def empty() -> Scene:
    return draw_scene(SPEC, "world_train", 0)


def along_ego(scene: Scene, ahead: float, left: float) -> tuple[float, float]:
    pose = scene.ego_pose(0.0)
    x, y, _ = pose.rotation_33 @ (ahead, left, 0.0) + pose.translation_3
    return float(x), float(y)


def with_car(empty: Scene, motion: Motion) -> Scene:
    car = Actor(assets.vehicle(np.random.default_rng(0), "car"), motion, "vehicle.parked")
    return replace(
        empty, actors=(car,), static=static_scene(background.ground(empty.town), (car,), empty.light)
    )


def ahead_of(scene: Scene, rays: np.ndarray) -> np.ndarray:
    """Positions of the car's returns along the ego's heading."""
    hits = scene.cast_rays(0.0, scene.sensors[LIDAR], rays)
    return (rays * hits.distance_N[:, None])[hits.instance_N == 1][:, 1]


def test_the_lidar_passes_the_axis_of_each_camera_at_its_trigger_time() -> None:
    rays, _ = lidar_rays(SPEC, 0.0)
    age = ray_ages(rays)
    assert age.min() >= 0
    assert age.max() < REVOLUTION_S
    for _, heading_deg, _, lead_s in MOUNTS.values():
        yaw = np.deg2rad(heading_deg)
        axis = np.array([[-np.sin(yaw), np.cos(yaw), 0.0]], np.float32)
        assert ray_ages(axis)[0] == pytest.approx(lead_s, abs=0.002)


def test_a_fast_car_after_the_seam_is_hit_where_it_was_a_revolution_ago(empty: Scene) -> None:
    rays, _ = lidar_rays(SPEC, 0.0)
    place, before = along_ego(empty, AHEAD, LEFT), along_ego(empty, AHEAD - 40.0, LEFT)
    driving = with_car(empty, constant_speed(polyline([before, place]), 40.0, SPEED))
    heading = empty.ego_pose(0.0).rotation_33
    parked = with_car(empty, stationary(*place, float(np.arctan2(heading[1, 0], heading[0, 0]))))
    moved, at_rest = ahead_of(driving, rays), ahead_of(parked, rays)
    age = ray_ages(np.array([[-LEFT, AHEAD - 0.94, 0.0]], np.float32))[0]
    assert age > 0.8 * REVOLUTION_S
    assert np.median(at_rest) - np.median(moved) == pytest.approx(SPEED * age, abs=0.15)
    assert at_rest.min() == pytest.approx(AHEAD - 0.94 - 2.2, abs=0.5), "a parked car is not displaced"


def test_a_car_across_the_seam_is_shortened_by_its_motion(empty: Scene) -> None:
    """Its two ends are scanned a revolution apart."""
    rays, _ = lidar_rays(replace(SPEC, lidar_azimuths=1440), 0.0)
    seam = np.deg2rad(90 + 18.0)  # left of ahead: the last ray of a revolution is next to the first
    assert abs(float(np.diff(ray_ages(_towards([seam - 0.01, seam + 0.2])))[0])) < REVOLUTION_S
    age = ray_ages(rays)
    border = np.flatnonzero(np.abs(np.diff(age)) > 0.9 * REVOLUTION_S)
    assert len(border) == 1, "one seam per revolution"
    seam_ray = rays[border[0]]
    yaw = np.arctan2(-seam_ray[0], seam_ray[1])
    x, y = 8.0 * np.cos(yaw) + 0.94, 8.0 * np.sin(yaw)
    target, before = along_ego(empty, x, y), along_ego(empty, x - 40.0, y)
    scene = with_car(empty, constant_speed(polyline([before, target]), 40.0, SPEED))
    hits = scene.cast_rays(0.0, scene.sensors[LIDAR], rays)
    on_car = hits.instance_N == 1
    ahead = (rays * hits.distance_N[:, None])[:, 1]
    late, early = on_car & (age < 0.5 * REVOLUTION_S), on_car & (age > 0.5 * REVOLUTION_S)
    assert late.any()
    assert early.any()
    length = scene.actors[0].asset.size_lwh[0]
    # the rear, hit last, is in place; the front, hit first, is a revolution behind
    assert np.ptp(ahead[on_car]) == pytest.approx(length - SPEED * REVOLUTION_S, abs=0.15)


def _towards(yaws: list[float]) -> np.ndarray:
    return np.array([(-np.sin(yaw), np.cos(yaw), 0.0) for yaw in yaws], np.float32)
