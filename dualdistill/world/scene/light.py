"""Illumination of a scene: sun, sky, fog and camera noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualdistill.world.geometry.mesh import GLOW, Floats, Mesh, floats
from dualdistill.world.scene.night import LampLight
from dualdistill.world.scene.weather import Weather

FROM_BELOW = 0.35  # light from the ground relative to the sky's
GLOW_LIGHT = 0.75  # brightness of glowing triangles in any light


@dataclass(frozen=True)
class Light:
    sun_3: Floats  # unit vector towards the sun
    sun_colour_3: Floats
    sky_colour_3: Floats  # light from above, also the sky's colour at the zenith
    horizon_colour_3: Floats
    fog_per_m: float
    noise: float  # of a pixel, in steps of 1/255
    wet: bool
    lamps: LampLight | None  # None by day

    @property
    def casts_shadows(self) -> bool:
        return bool(self.sun_colour_3.max() > 0)

    def shade(self, mesh: Mesh, normals_T3: Floats) -> tuple[Floats, Floats]:
        """Colours [3, T] of the triangles in shadow, and the colours that sunlight adds."""
        sky = 0.5 + 0.5 * normals_T3[:, 2]  # share of the hemisphere above a triangle that is sky
        ambient = self.sky_colour_3[:, None] * (sky + (1 - sky) * FROM_BELOW)
        ambient[:, mesh.texture_T == GLOW] = GLOW_LIGHT
        facing = np.maximum(normals_T3 @ self.sun_3, 0)
        colour = mesh.colour_T3.T
        return floats(colour * ambient), floats(colour * facing * self.sun_colour_3[:, None])

    def sky_colour(self, directions_N3: Floats) -> Floats:
        """Colours of the sky in directions of unit length."""
        height = np.sqrt(np.clip(directions_N3[:, 2:], 0, 1))
        colour = self.horizon_colour_3 * (1 - height) + self.sky_colour_3 * height
        if self.casts_shadows:
            glare = np.maximum(directions_N3 @ self.sun_3, 0)
            for _ in range(6):  # to the power of 64: confined to the surroundings of the sun
                glare *= glare
            colour += np.float32(0.5) * glare[:, None] * self.sun_colour_3
        return colour


def draw_light(rng: np.random.Generator, weather: Weather, lamps: LampLight | None) -> Light:
    """Draw the light of one scene from its weather: position of the sun, fog and exposure."""
    azimuth = rng.uniform(-np.pi, np.pi)
    elevation = np.deg2rad(rng.uniform(*weather.sun_deg))
    level = np.cos(elevation)
    sun = np.array([np.cos(azimuth) * level, np.sin(azimuth) * level, np.sin(elevation)])
    fog = float(rng.uniform(*weather.fog_per_m))
    exposure = np.float32(rng.uniform(0.9, 1.2))
    return Light(
        floats(sun),
        exposure * floats(weather.sun_colour),
        exposure * floats(weather.sky_colour),
        exposure * floats(weather.horizon_colour),
        fog,
        weather.noise,
        weather.wet,
        lamps,
    )
