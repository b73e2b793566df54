"""The LiDAR turns while things move: what it meets early in its turn was elsewhere at the turn's end."""

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
# a place left of the car, just after the seam, where the LiDAR looked at the beginning of its turn
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
    """Where the car's returns lie along the ego's heading."""
    hits = scene.cast_rays(0.0, scene.sensors[LIDAR], rays)
    return (rays * hits.distance_N[:, None])[hits.instance_N == 1][:, 1]


def test_a_turn_lasts_as_long_as_a_sweep_and_meets_the_cameras_in_time() -> None:
    rays, _ = lidar_rays(SPEC, 0.0)
    age = ray_ages(rays)
    assert age.min() >= 0
    assert age.max() < REVOLUTION_S
    for _, heading_deg, _, lead_s in MOUNTS.values():
        turned = np.deg2rad(heading_deg)
        middle = np.array([[-np.sin(turned), np.cos(turned), 0.0]], np.float32)
        assert ray_ages(middle)[0] == pytest.approx(lead_s, abs=0.002)


def test_a_fast_car_at_the_seam_is_where_it_was_a_turn_ago(empty: Scene) -> None:
    rays, _ = lidar_rays(SPEC, 0.0)
    place, before = along_ego(empty, AHEAD, LEFT), along_ego(empty, AHEAD - 40.0, LEFT)
    driving = with_car(empty, constant_speed(polyline([before, place]), 40.0, SPEED))
    heading = empty.ego_pose(0.0).rotation_33
    standing = with_car(empty, stationary(*place, float(np.arctan2(heading[1, 0], heading[0, 0]))))
    moved, kept = ahead_of(driving, rays), ahead_of(standing, rays)
    age = ray_ages(np.array([[-LEFT, AHEAD - 0.94, 0.0]], np.float32))[0]
    assert age > 0.8 * REVOLUTION_S
    assert np.median(kept) - np.median(moved) == pytest.approx(SPEED * age, abs=0.15)
    assert kept.min() == pytest.approx(AHEAD - 0.94 - 2.2, abs=0.5), "what stands is where it stands"


def test_the_seam_cuts_what_crosses_it(empty: Scene) -> None:
    """A car that drives along the seam is met twice, v * dt apart."""
    rays, _ = lidar_rays(replace(SPEC, lidar_azimuths=1440), 0.0)
    seam = np.deg2rad(90 + 18.0)  # left of ahead: the last ray of a turn is next to the first one
    assert abs(float(np.diff(ray_ages(_towards([seam - 0.01, seam + 0.2])))[0])) < REVOLUTION_S
    age = ray_ages(rays)
    border = np.flatnonzero(np.abs(np.diff(age)) > 0.9 * REVOLUTION_S)
    assert len(border) == 1, "one seam per turn"
    at = rays[border[0]]
    turned = np.arctan2(-at[0], at[1])
    x, y = 8.0 * np.cos(turned) + 0.94, 8.0 * np.sin(turned)
    target, before = along_ego(empty, x, y), along_ego(empty, x - 40.0, y)
    scene = with_car(empty, constant_speed(polyline([before, target]), 40.0, SPEED))
    hits = scene.cast_rays(0.0, scene.sensors[LIDAR], rays)
    on_car = hits.instance_N == 1
    ahead = (rays * hits.distance_N[:, None])[:, 1]
    late, early = on_car & (age < 0.5 * REVOLUTION_S), on_car & (age > 0.5 * REVOLUTION_S)
    assert late.any()
    assert early.any()
    length = scene.actors[0].asset.size_lwh[0]
    # its rear, met last, is where it is; its front, met first, is a turn behind: it looks shorter
    assert np.ptp(ahead[on_car]) == pytest.approx(length - SPEED * REVOLUTION_S, abs=0.15)


def _towards(turned: list[float]) -> np.ndarray:
    return np.array([(-np.sin(angle), np.cos(angle), 0.0) for angle in turned], np.float32)
