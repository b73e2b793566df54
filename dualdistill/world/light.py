"""How bright a scene is, from where, and through what air."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualdistill.world.mesh import GLOW, Floats, Mesh, floats

FROM_BELOW = 0.35  # light from the ground relative to the sky's
GLOW_LIGHT = 0.75  # lamps look this bright in any light


@dataclass(frozen=True)
class Light:
    name: str
    sun_3: Floats  # unit vector towards the sun
    sun_colour_3: Floats
    sky_colour_3: Floats  # light from above, also the sky's colour at the zenith
    horizon_colour_3: Floats
    fog_per_m: float
    noise: float  # of a pixel, in steps of 1/255

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

    def sky(self, directions_N3: Floats) -> Floats:
        """Colour of rays (unit length) that hit nothing."""
        height = np.sqrt(np.clip(directions_N3[:, 2:], 0, 1))
        colour = self.horizon_colour_3 * (1 - height) + self.sky_colour_3 * height
        if self.casts_shadows:
            glare = np.clip(directions_N3 @ self.sun_3, 0, 1)[:, None] ** 64
            colour = colour + np.float32(0.5) * glare * self.sun_colour_3
        return colour


def draw(rng: np.random.Generator) -> Light:
    """Clear, hazy, overcast or low sun."""
    name = str(rng.choice(["clear", "hazy", "overcast", "low sun"], p=[0.4, 0.2, 0.25, 0.15]))
    azimuth = rng.uniform(-np.pi, np.pi)
    height = np.deg2rad(rng.uniform(8, 16) if name == "low sun" else rng.uniform(28, 65))
    sun = np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)])
    sun_colour, sky, horizon, fog, noise = {
        "clear": ((1.25, 1.18, 1.05), (0.42, 0.53, 0.72), (0.72, 0.78, 0.84), 0.0015, 2.0),
        "hazy": ((0.85, 0.80, 0.72), (0.50, 0.55, 0.62), (0.78, 0.79, 0.80), 0.006, 2.5),
        "overcast": ((0.0, 0.0, 0.0), (0.98, 1.00, 1.04), (0.86, 0.87, 0.89), 0.004, 3.0),
        "low sun": ((1.15, 0.75, 0.40), (0.34, 0.37, 0.48), (0.85, 0.55, 0.34), 0.003, 4.0),
    }[name]
    exposure = np.float32(rng.uniform(0.9, 1.2))
    return Light(
        name,
        floats(sun),
        exposure * floats(sun_colour),
        exposure * floats(sky),
        exposure * floats(horizon),
        fog,
        noise,
    )
