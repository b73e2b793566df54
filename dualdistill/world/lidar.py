"""From ray hits to a point cloud: intensity by material and angle, range noise, lost returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualdistill.spec import WorldSpec
from dualdistill.world.cast import Hits
from dualdistill.world.mesh import Floats


@dataclass(frozen=True)
class Cloud:
    points_P5: Floats  # x, y, z in LiDAR coordinates, intensity 0..255, ring
    instance_P: NDArray[np.uint16]


def measure(hits: Hits, rays_N3: Floats, ring_N: Floats, spec: WorldSpec, rng: np.random.Generator) -> Cloud:
    """The returns of one turn; `rays_N3` are unit vectors in LiDAR coordinates."""
    drawn = rng.random((2, len(ring_N)), dtype=np.float32)
    noise = rng.standard_normal(len(ring_N), dtype=np.float32) * np.float32(spec.lidar_noise_m)
    back = np.flatnonzero((hits.triangle_N >= 0) & (hits.distance_N < spec.radius_m))
    triangle, distance = hits.triangle_N[back], hits.distance_N[back]
    facing = np.abs(np.einsum("nc,nc->n", hits.surface.normals_T3[triangle], hits.rays_N3[back]))
    strength = hits.surface.intensity_T[triangle] * (0.3 + 0.7 * facing) * (0.8 + 0.4 * drawn[0, back])
    # dark, slanted and distant surfaces lose their echo more often
    lost = 0.02 + 0.25 * np.exp(-strength / 6) * (0.3 + distance / 40)
    kept = drawn[1, back] > lost
    back, measured = back[kept], (distance + noise[back])[kept]
    points = np.empty((len(back), 5), np.float32)
    points[:, :3] = rays_N3[back] * measured[:, None]
    points[:, 3] = np.clip(np.round(strength[kept]), 0, 255)
    points[:, 4] = ring_N[back]
    return Cloud(points, hits.instance_N[back])
