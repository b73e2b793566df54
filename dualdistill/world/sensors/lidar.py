"""From ray hits to a point cloud: intensity by material and angle, range noise, lost and false returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualdistill.config.world import WorldSpec
from dualdistill.world.geometry.mesh import Floats
from dualdistill.world.scene.weather import CLEAR, Weather
from dualdistill.world.sensors.raycast import Hits

ECHO_FROM_M, ECHO_MEAN_M = 1.2, 1.8  # drops return from here on, most of them soon after
ECHO_INTENSITY = 6.0


@dataclass(frozen=True)
class Cloud:
    points_P5: Floats  # x, y, z in LiDAR coordinates, intensity 0..255, ring
    instance_P: NDArray[np.uint16]


def measure(
    hits: Hits,
    rays_N3: Floats,
    ring_N: Floats,
    spec: WorldSpec,
    rng: np.random.Generator,
    weather: Weather = CLEAR,
) -> Cloud:
    """The returns of one turn; `rays_N3` are unit vectors in LiDAR coordinates."""
    drawn = rng.random((2, len(ring_N)), dtype=np.float32)
    noise = rng.standard_normal(len(ring_N), dtype=np.float32) * np.float32(spec.lidar_noise_m)
    back = np.flatnonzero((hits.triangle_N >= 0) & (hits.distance_N < spec.lidar_reach_m * weather.reach))
    triangle, distance = hits.triangle_N[back], hits.distance_N[back]
    facing = np.abs(np.einsum("nc,nc->n", hits.surface.normals_T3[triangle], hits.rays_N3[back]))
    strength = hits.surface.intensity_T[triangle] * (0.3 + 0.7 * facing) * (0.8 + 0.4 * drawn[0, back])
    # dark, slanted and distant surfaces lose their echo more often
    lost = 0.02 + 0.25 * np.exp(-strength / 6) * (0.3 + distance / 40)
    through = (1 - spec.lidar_dropout) * (1 - weather.loss)
    kept = drawn[1, back] > 1 - (1 - lost) * through
    back, measured, strength = back[kept], (distance + noise[back])[kept], strength[kept]
    instance = hits.instance_N[back]
    if weather.echoes > 0:
        shots, away, faint = _echoes(hits, spec, rng, weather)
        real = ~np.isin(back, shots)
        back, measured = np.r_[back[real], shots], np.r_[measured[real], away]
        strength = np.r_[strength[real], faint]
        instance = np.r_[instance[real], np.zeros(len(shots), np.uint16)]
    points = np.empty((len(back), 5), np.float32)
    points[:, :3] = rays_N3[back] * measured[:, None]
    points[:, 3] = np.clip(np.round(strength), 0, 255)
    points[:, 4] = ring_N[back]
    return Cloud(points, instance)


def _echoes(
    hits: Hits, spec: WorldSpec, rng: np.random.Generator, weather: Weather
) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Shots that drops in the air throw back: their number, distance and intensity."""
    shots = np.flatnonzero(rng.random(len(hits.distance_N), dtype=np.float32) < weather.echoes)
    away = ECHO_FROM_M + np.float32(ECHO_MEAN_M) * rng.standard_exponential(len(shots), dtype=np.float32)
    faint = np.float32(ECHO_INTENSITY) * rng.random(len(shots), dtype=np.float32)
    near = away < np.minimum(hits.distance_N[shots], spec.lidar_reach_m)
    return shots[near], away[near], faint[near]
