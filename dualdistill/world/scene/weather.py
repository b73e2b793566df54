"""Weather and time of day: their effects on cameras and LiDAR, and the assignment to scenes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualdistill.world.geometry.mesh import Colour

BAD_SHARE = 0.4  # of the scenes, at weather = 1: about the share of rain and night in nuScenes
Range = tuple[float, float]


@dataclass(frozen=True)
class Weather:
    """A kind of weather: colours in linear light, and ranges from which values are drawn once per scene."""

    label: str  # the beginning of the scene's description
    sun_colour: Colour
    sky_colour: Colour  # light from above
    horizon_colour: Colour
    sun_deg: Range = (18.0, 65.0)  # elevation of the sun
    fog_per_m: Range = (0.001, 0.003)
    noise: float = 2.5  # of a pixel, in steps of 1/255
    wet: bool = False  # dark, reflecting ground and drops on the lens
    dark: bool = False  # street lamps, lit windows and the ego's headlights are on
    reach: float = 1.0  # of the LiDAR, relative to a clear day
    loss: float = 0.0  # share of its returns that the air absorbs
    echoes: float = 0.0  # share of its rays that return from drops near the sensor


CLEAR = Weather("Clear day", (1.25, 1.18, 1.05), (0.42, 0.53, 0.72), (0.72, 0.78, 0.84), noise=2.0)
NO_SUN: Colour = (0.0, 0.0, 0.0)
# in the order in which they are assigned to scenes
BAD = (
    Weather(
        "Rain",
        NO_SUN,
        sky_colour=(0.60, 0.63, 0.68),
        horizon_colour=(0.58, 0.60, 0.63),
        fog_per_m=(0.010, 0.018),
        noise=4.0,
        wet=True,
        reach=0.85,
        loss=0.10,
        echoes=0.006,
    ),
    Weather(
        "Night",
        NO_SUN,
        sky_colour=(0.070, 0.075, 0.100),
        horizon_colour=(0.030, 0.032, 0.045),
        noise=6.5,
        dark=True,
    ),
    Weather(
        "Overcast",
        NO_SUN,
        sky_colour=(0.98, 1.00, 1.04),
        horizon_colour=(0.86, 0.87, 0.89),
        fog_per_m=(0.003, 0.006),
        noise=3.0,
    ),
    Weather(
        "Fog",
        NO_SUN,
        sky_colour=(0.74, 0.76, 0.78),
        horizon_colour=(0.70, 0.71, 0.72),
        fog_per_m=(0.035, 0.060),
        noise=3.5,
        reach=0.75,
        loss=0.06,
        echoes=0.015,
    ),
    Weather(
        "Dusk, low sun",
        sun_colour=(1.15, 0.70, 0.36),
        sky_colour=(0.30, 0.32, 0.43),
        horizon_colour=(0.82, 0.52, 0.32),
        sun_deg=(5.0, 14.0),
        noise=4.0,
    ),
    Weather(
        "Night, rain",
        NO_SUN,
        sky_colour=(0.065, 0.070, 0.090),
        horizon_colour=(0.040, 0.042, 0.050),
        fog_per_m=(0.006, 0.012),
        noise=7.5,
        wet=True,
        dark=True,
        reach=0.85,
        loss=0.10,
        echoes=0.006,
    ),
)


def weather_of_scene(mix: float, number: int) -> Weather:
    """Weather of scene `number` of a split; `mix` scales the share of bad weather.

    At mix = 1 any 15 successive scenes include all kinds.
    """
    share = BAD_SHARE * mix
    bad_before, bad_after = (int(np.floor(count * share + 1e-9)) for count in (number, number + 1))
    return BAD[bad_before % len(BAD)] if bad_after > bad_before else CLEAR
