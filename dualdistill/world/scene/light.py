"""How bright a scene is, from where, and through what air."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualdistill.world.geometry.mesh import GLOW, Floats, Mesh, floats
from dualdistill.world.scene.night import LampLight
from dualdistill.world.scene.weather import Weather

FROM_BELOW = 0.35  # light from the ground relative to the sky's
GLOW_LIGHT = 0.75  # lamps look this bright in any light


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
        """[3, T]: what each triangle shows in shadow, and what the sun adds."""
        up = 0.5 + 0.5 * normals_T3[:, 2]
        ambient = self.sky_colour_3[:, None] * (up + (1 - up) * FROM_BELOW)
        ambient[:, mesh.texture_T == GLOW] = GLOW_LIGHT
        facing = np.maximum(normals_T3 @ self.sun_3, 0)
        colour = mesh.colour_T3.T
        return floats(colour * ambient), floats(colour * facing * self.sun_colour_3[:, None])

    def sky_colour(self, directions_N3: Floats) -> Floats:
        """Colour of rays (unit length) that hit nothing."""
        height = np.sqrt(np.clip(directions_N3[:, 2:], 0, 1))
        colour = self.horizon_colour_3 * (1 - height) + self.sky_colour_3 * height
        if self.casts_shadows:
            glare = np.maximum(directions_N3 @ self.sun_3, 0)
            for _ in range(6):  # to the power of 64: around the sun only
                glare *= glare
            colour += np.float32(0.5) * glare[:, None] * self.sun_colour_3
        return colour


def draw_light(rng: np.random.Generator, weather: Weather, lamps: LampLight | None) -> Light:
    """The weather's light on one day: sun from somewhere, a little brighter or darker."""
    azimuth = rng.uniform(-np.pi, np.pi)
    height = np.deg2rad(rng.uniform(*weather.sun_deg))
    sun = np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)])
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
