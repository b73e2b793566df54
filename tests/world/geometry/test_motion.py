"""Paths, speed profiles and collisions of footprints."""

from __future__ import annotations

import numpy as np
import pytest

from dualdistill.world.geometry.motion import Motion, Occupancy, constant_speed, polyline, stationary
from dualdistill.world.scene.town import EAST, NORTH, WEST, draw_town, route

TIMES = np.linspace(-1, 6, 141)


def test_distance_is_the_integral_of_the_speed() -> None:
    path = polyline([(0.0, 0.0), (100.0, 0.0)])
    motion = Motion(path, 20.0, np.array([1.0, 2.0, 4.0]), np.array([5.0, 0.0, 3.0]))
    fine = np.linspace(-1, 6, 700_001)
    speed = np.interp(fine, motion.times_S, motion.speed_S)
    integral = np.cumsum(speed) * (fine[1] - fine[0])
    integral += 20.0 - np.interp(0.0, fine, integral)
    assert np.abs(motion.distance(TIMES) - np.interp(TIMES, fine, integral)).max() < 1e-3


def test_positions_are_the_same_for_one_time_and_for_many() -> None:
    motion = constant_speed(polyline([(0.0, 0.0), (10.0, 0.0), (10.0, 30.0)]), 2.0, 4.0)
    together, _ = motion.at(TIMES)
    separate = np.stack([motion.at([time])[0][0] for time in TIMES])
    assert np.array_equal(together, separate)


def test_a_right_turn_turns_right_and_keeps_to_the_right() -> None:
    towns = (draw_town(np.random.default_rng(seed), half_length=60.0) for seed in range(99))
    town = next(town for town in towns if NORTH in town.arms)
    path = route(town, EAST, NORTH, 0)
    yaw_change = path.yaw_K[-1] - path.yaw_K[0]
    assert yaw_change == pytest.approx(-np.pi / 2, abs=1e-6)
    assert path.points_K2[0, 1] > 0, "driving west, the right lane is on the north side"
    assert path.points_K2[-1, 0] > 0, "driving north, on the east side"
    straight = route(town, WEST, EAST, 0)
    assert np.all(straight.points_K2[:, 1] < 0)


def test_footprints_that_overlap_at_any_time_collide() -> None:
    occupied = Occupancy(np.arange(0, 5, 0.25))
    occupied.add(constant_speed(polyline([(-20.0, 0.0), (20.0, 0.0)]), 0.0, 8.0), 4.0, 2.0)
    assert not occupied.is_free(stationary(0.0, 1.5, np.pi / 2), 4.0, 2.0)
    assert occupied.is_free(stationary(0.0, 4.0, np.pi / 2), 4.0, 2.0)
    crossing = polyline([(0.0, -20.0), (0.0, 20.0)])
    assert not occupied.is_free(constant_speed(crossing, 0.0, 8.0), 4.0, 2.0)
    assert occupied.is_free(constant_speed(crossing, 12.0, 8.0), 4.0, 2.0), "a car that passes earlier"


def test_rotated_rectangles_do_not_collide_when_only_their_circles_overlap() -> None:
    occupied = Occupancy(np.zeros(1))
    occupied.add(stationary(0.0, 0.0, np.pi / 4), 10.0, 1.0)
    assert occupied.is_free(stationary(3.0, -3.0, np.pi / 4), 10.0, 1.0)
    assert not occupied.is_free(stationary(3.0, 3.0, -np.pi / 4), 10.0, 1.0)
