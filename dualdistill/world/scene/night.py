"""Light sources at night: street lamps and the ego's headlights, relative to the light of the night sky.

Axes: N pixels; X and Y cells of the light map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualdistill.world.geometry.mesh import Floats, floats
from dualdistill.world.geometry.motion import Array
from dualdistill.world.sensors.rig import Pose

LAMP_M = 7.0  # height of a street lamp
CELL_M = 0.5
LAMP_LIGHT, HEADLIGHT_LIGHT = 14.0, 40.0  # directly below a lamp, and directly ahead of the car
LAMP_COLOUR = floats([1.15, 0.95, 0.62])
HEADLIGHT_AT = floats([3.6, 0.0, 0.65])  # in the ego frame
SPREAD = 0.55  # lateral metres per metre ahead at which the headlights' beam has faded to 1/e
FADE_M = 9.0  # distance from which the beam falls off with the square of the distance


@dataclass(frozen=True)
class LampLight:
    """Map of the street lamps' light on the ground, centred on the town's origin."""

    light_XY: Floats
    half_m: float

    @staticmethod
    def from_lamps(lamps_K3: Array, half_m: float) -> LampLight:
        centres = np.arange(-half_m, half_m, CELL_M) + CELL_M / 2
        light = np.zeros((len(centres), len(centres)))
        for x, y, _ in lamps_K3:
            distance_squared = (centres[:, None] - x) ** 2 + (centres - y) ** 2
            light += (LAMP_M**2 / (LAMP_M**2 + distance_squared)) ** 1.5
        return LampLight(floats(LAMP_LIGHT * light), half_m)

    def light_at(self, points_3N: Floats) -> Floats:
        """Light at points in the town, dimmer towards the height of the lamps."""
        x, y, z = points_3N
        cells = len(self.light_XY)
        shift, scale = np.float32(self.half_m), np.float32(1 / CELL_M)
        # points outside the map take the value at its border
        column = np.clip((x + shift) * scale, 0, cells - 1).astype(np.int32)
        row = np.clip((y + shift) * scale, 0, cells - 1).astype(np.int32)
        dimming = np.clip(np.float32(1.3) - z * np.float32(1 / LAMP_M), np.float32(0.04), np.float32(1))
        return self.light_XY.reshape(-1).take(column * cells + row) * dimming


def headlights_at(points_3N: Floats, ego: Pose) -> Floats:
    """Light of the ego's headlights: a wide, dipped beam that weakens with the distance."""
    ahead, aside, up = floats(ego.rotation_33.T) @ points_3N
    at = floats(ego.rotation_33.T @ ego.translation_3) + HEADLIGHT_AT
    ahead, aside, up = ahead - at[0], aside - at[1], up - at[2]
    in_front = ahead > 0
    ahead = np.maximum(ahead, np.float32(0.1))
    # dipped beam: hardly any light above the height of the headlights
    spread = (aside / (np.float32(SPREAD) * ahead)) ** 2 + np.maximum(up / (0.6 + 0.12 * ahead), 0) ** 2
    falloff = 1 + (ahead * np.float32(1 / FADE_M)) ** 2
    return np.float32(HEADLIGHT_LIGHT) * in_front * np.exp(-spread) / falloff
