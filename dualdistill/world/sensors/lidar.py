"""Point clouds from ray hits: intensity by material and angle, range noise, lost and false returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualdistill.config.world import WorldSpec
from dualdistill.world.geometry.mesh import Floats
from dualdistill.world.scene.weather import CLEAR, Weather
from dualdistill.world.sensors.raycast import Hits

ECHO_FROM_M, ECHO_MEAN_M = 1.2, 1.8  # closest echo of a drop in the air, and mean distance beyond it
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
    """The returns of one revolution; `rays_N3` are unit vectors in LiDAR coordinates."""
    uniform = rng.random((2, len(ring_N)), dtype=np.float32)
    noise = rng.standard_normal(len(ring_N), dtype=np.float32) * np.float32(spec.lidar_noise_m)
    back = np.flatnonzero((hits.triangle_N >= 0) & (hits.distance_N < spec.lidar_reach_m * weather.reach))
    triangle, distance = hits.triangle_N[back], hits.distance_N[back]
    facing = np.abs(np.einsum("nc,nc->n", hits.surface.normals_T3[triangle], hits.rays_N3[back]))
    strength = hits.surface.intensity_T[triangle] * (0.3 + 0.7 * facing) * (0.8 + 0.4 * uniform[0, back])
    # returns of dark, slanted and distant surfaces are lost more often
    lost = 0.02 + 0.25 * np.exp(-strength / 6) * (0.3 + distance / 40)
    transmitted = (1 - spec.lidar_dropout) * (1 - weather.loss)
    kept = uniform[1, back] > 1 - (1 - lost) * transmitted
    back, measured, strength = back[kept], (distance + noise[back])[kept], strength[kept]
    instance = hits.instance_N[back]
    if weather.echoes > 0:
        echoes, echo_distance, echo_strength = _echoes(hits, spec, rng, weather)
        real = ~np.isin(back, echoes)
        back, measured = np.r_[back[real], echoes], np.r_[measured[real], echo_distance]
        strength = np.r_[strength[real], echo_strength]
        instance = np.r_[instance[real], np.zeros(len(echoes), np.uint16)]
    points = np.empty((len(back), 5), np.float32)
    points[:, :3] = rays_N3[back] * measured[:, None]
    points[:, 3] = np.clip(np.round(strength), 0, 255)
    points[:, 4] = ring_N[back]
    return Cloud(points, instance)


def _echoes(
    hits: Hits, spec: WorldSpec, rng: np.random.Generator, weather: Weather
) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Rays reflected by drops in the air: their indices, distances and intensities."""
    echoes = np.flatnonzero(rng.random(len(hits.distance_N), dtype=np.float32) < weather.echoes)
    distance = ECHO_FROM_M + np.float32(ECHO_MEAN_M) * rng.standard_exponential(len(echoes), dtype=np.float32)
    strength = np.float32(ECHO_INTENSITY) * rng.random(len(echoes), dtype=np.float32)
    nearest = distance < np.minimum(hits.distance_N[echoes], spec.lidar_reach_m)
    return echoes[nearest], distance[nearest], strength[nearest]
