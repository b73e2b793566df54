"""Rain in camera images: dark ground with reflecting puddles, streaks in the air, drops on the lens."""

from __future__ import annotations

import numpy as np

from dualdistill.world.geometry.mesh import Floats

DARKENED = np.float32(0.45)  # brightness of wet ground relative to dry ground
SHINE = np.float32(0.08)  # share of the horizon's light that a puddle reflects
PER_MEGAPIXEL_DROPS, PER_MEGAPIXEL_STREAKS = 160, 5000
DROP_SHARE = (0.012, 0.035)  # radius of a drop as a share of the image's height
STREAK_SHARE, STREAK_LIGHT = 0.05, 16.0  # length as a share of the height; brightness in steps of 1/255
LENS = 3  # a drop shows its surroundings upside down, reduced by this factor


def puddle_shine(noise_N: Floats) -> Floats:
    """Share of the horizon's light that the ground reflects, from a noise of mean 1 fixed to the ground."""
    return SHINE * np.clip(np.float32(0.35) + 2 * (noise_N - 1), 0, 1)


def add_rain(pixels_3HW: Floats, rng: np.random.Generator) -> None:
    """Add streaks and drops to an image in place."""
    _, height, width = pixels_3HW.shape
    megapixels = height * width / 1e6
    count = int(PER_MEGAPIXEL_STREAKS * megapixels)
    length = max(2, int(STREAK_SHARE * height))
    rows = rng.integers(0, max(1, height - length), count)[:, None] + np.arange(length)
    columns = rng.integers(0, width - 1, count)[:, None] + np.arange(length) // 6
    columns = np.minimum(columns, width - 1)
    pixels_3HW[:, rows, columns] += np.float32(STREAK_LIGHT) * rng.random((count, 1), dtype=np.float32)
    dry = pixels_3HW.copy()
    for _ in range(rng.poisson(PER_MEGAPIXEL_DROPS * megapixels)):
        radius = max(1.0, height * rng.uniform(*DROP_SHARE))
        _drop(dry, pixels_3HW, rng.uniform(0, height), rng.uniform(0, width), radius)


def _drop(dry_3HW: Floats, wet_3HW: Floats, row: float, column: float, radius: float) -> None:
    _, height, width = dry_3HW.shape
    rows = np.arange(max(0, int(row - radius)), min(height, int(row + radius) + 1))
    columns = np.arange(max(0, int(column - radius)), min(width, int(column + radius) + 1))
    inside = (rows[:, None] - row) ** 2 + (columns - column) ** 2 < radius**2
    from_rows = np.clip(row - LENS * (rows - row), 0, height - 1).astype(int)
    from_columns = np.clip(column - LENS * (columns - column), 0, width - 1).astype(int)
    refracted = dry_3HW[:, from_rows[:, None], from_columns]
    behind = wet_3HW[:, rows[:, None], columns]
    wet_3HW[:, rows[:, None], columns] = np.where(inside, 0.4 * behind + 0.6 * refracted, behind)
