"""What lights a street when the sun does not: its lamps and the ego's headlights.

Both are given relative to the light of the night sky. Axes: N pixels, X and Y cells of the lamps' map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualdistill.world.geometry.mesh import Floats, floats
from dualdistill.world.geometry.motion import Array
from dualdistill.world.sensors.rig import Pose

LAMP_M = 7.0  # height of a street lamp
CELL_M = 0.5
LAMP_LIGHT, HEADLIGHT_LIGHT = 14.0, 40.0  # below a lamp, and just before the car
LAMP_COLOUR = floats([1.15, 0.95, 0.62])
HEADLIGHT_AT = floats([3.6, 0.0, 0.65])  # in the ego frame
SPREAD = 0.55  # metres aside per metre ahead where the headlights' beam has faded to a third
FADE_M = 9.0  # from here on it weakens with the square of the distance


@dataclass(frozen=True)
class LampLight:
    """A map of the street lamps' light on the ground, centred on the town's origin."""

    light_XY: Floats
    half_m: float

    @staticmethod
    def from_lamps(lamps_K3: Array, half_m: float) -> LampLight:
        centres = np.arange(-half_m, half_m, CELL_M) + CELL_M / 2
        light = np.zeros((len(centres), len(centres)))
        for x, y, _ in lamps_K3:
            gap = (centres[:, None] - x) ** 2 + (centres - y) ** 2
            light += (LAMP_M**2 / (LAMP_M**2 + gap)) ** 1.5
        return LampLight(floats(LAMP_LIGHT * light), half_m)

    def light_at(self, points_3N: Floats) -> Floats:
        """Their light at some places; above the lamps it is dark."""
        x, y, z = points_3N
        cells = len(self.light_XY)
        shift, scale = np.float32(self.half_m), np.float32(1 / CELL_M)
        # beyond the map's ends its rim goes on
        column = np.clip((x + shift) * scale, 0, cells - 1).astype(np.int32)
        row = np.clip((y + shift) * scale, 0, cells - 1).astype(np.int32)
        above = np.clip(np.float32(1.3) - z * np.float32(1 / LAMP_M), np.float32(0.04), np.float32(1))
        return self.light_XY.reshape(-1).take(column * cells + row) * above


def headlights_at(points_3N: Floats, ego: Pose) -> Floats:
    """The light of the ego's own beam: wide, low, and weaker with the distance."""
    ahead, aside, up = floats(ego.rotation_33.T) @ points_3N
    at = floats(ego.rotation_33.T @ ego.translation_3) + HEADLIGHT_AT
    ahead, aside, up = ahead - at[0], aside - at[1], up - at[2]
    before = ahead > 0
    ahead = np.maximum(ahead, np.float32(0.1))
    # dipped: hardly any light above the lamps' own height
    spread = (aside / (np.float32(SPREAD) * ahead)) ** 2 + np.maximum(up / (0.6 + 0.12 * ahead), 0) ** 2
    far = 1 + (ahead * np.float32(1 / FADE_M)) ** 2
    return np.float32(HEADLIGHT_LIGHT) * before * np.exp(-spread) / far
