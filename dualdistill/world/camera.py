"""From ray hits to a photograph: shade, shadow, texture, haze, noise.

Axes: N pixels, row by row; colours in linear light until the last step.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from dualdistill.world.cast import Hits
from dualdistill.world.light import Light
from dualdistill.world.mesh import FACADE, FOLIAGE, GROUND, Floats

Pixels = NDArray[np.uint8]
GAMMA_STEPS = 4095


def develop(hits: Hits, light: Light, size: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """An image [height, width, 3] of one camera's hits."""
    height, width = size
    length = _length(hits.rays_N3)
    # rays into the sky are shaded like triangle 0 and painted over at the end: cheaper than picking the others
    triangle = np.maximum(hits.triangle_N, 0)
    colour = hits.surface.shadow_T3.take(triangle, axis=0)
    if light.casts_shadows:
        sunny = np.flatnonzero((hits.triangle_N >= 0) & (hits.surface.sun_T3.max(1) > 0).take(triangle))
        sunny = sunny[hits.lit(sunny, light.sun_3)]
        colour[sunny] += hits.surface.sun_T3.take(triangle[sunny], axis=0)
    vignette = _vignette(height, width)
    haze = np.exp(np.float32(-light.fog_per_m) * np.minimum(hits.distance_N * length, np.float32(1e4)))
    colour *= (_texture(hits, triangle) * haze * vignette)[:, None]
    colour += ((1 - haze) * vignette)[:, None] * light.horizon_colour_3
    sky = np.flatnonzero(hits.triangle_N < 0)
    colour[sky] = light.sky(hits.rays_N3[sky] / length[sky, None]) * vignette[sky, None]
    return _expose(colour, light.noise, rng).reshape(height, width, 3)


def _length(rays_N3: Floats) -> Floats:
    return np.sqrt(np.einsum("nc,nc->n", rays_N3, rays_N3))


def _expose(colour_N3: Floats, noise: float, rng: np.random.Generator) -> Pixels:
    np.clip(colour_N3, 0, 1, out=colour_N3)
    colour_N3 *= GAMMA_STEPS
    pixels = _gamma().take(colour_N3.astype(np.int32))
    grain = rng.standard_normal((len(pixels), 1), dtype=np.float32) * np.float32(noise) + np.float32(0.5)
    pixels += grain
    return np.clip(pixels, 0, 255, out=pixels).astype(np.uint8)


@functools.cache
def _gamma() -> Floats:
    """Linear light to the screen's scale, with a soft shoulder."""
    linear = np.linspace(0, 1, GAMMA_STEPS + 1)
    return (255 * linear ** (1 / 2.2)).astype(np.float32)


@functools.cache
def _vignette(height: int, width: int) -> Floats:
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return (1 - 0.13 * (rows**2 + columns**2)).astype(np.float32).reshape(-1)


@functools.cache
def _grain() -> Floats:
    """A tile of smooth noise around one, the same in every world."""
    rng = np.random.default_rng(20251121)
    tile = np.zeros((256, 256))
    for cell in (1, 4, 16):
        coarse = rng.standard_normal((256 // cell, 256 // cell))
        tile += np.kron(coarse, np.ones((cell, cell))) * (0.05 if cell == 1 else 0.06)
    return (1 + tile).astype(np.float32)


def _texture(hits: Hits, triangle_N: NDArray[np.int32]) -> Floats:
    """A factor on each pixel's colour, fixed to the place it shows."""
    kind = hits.surface.mesh.texture_T.take(triangle_N)
    factor = np.ones(len(kind), np.float32)
    ground = np.flatnonzero(kind == GROUND)
    place = _points(hits, ground)
    factor[ground] = _noise(place[:, 0] * 6, place[:, 1] * 6)
    leaves = np.flatnonzero(kind == FOLIAGE)
    place = _points(hits, leaves)
    factor[leaves] = 2.5 * _noise(place[:, 0] * 5 + place[:, 2] * 3, place[:, 1] * 5 - place[:, 2] * 4) - 1.5
    walls = np.flatnonzero(kind == FACADE)
    factor[walls] = _windows(_points(hits, walls), hits.surface.normals_T3[triangle_N[walls]])
    return np.maximum(factor, np.float32(0.1))


def _points(hits: Hits, wanted: NDArray[np.intp]) -> Floats:
    return (
        hits.origin_3 + hits.rays_N3[wanted] * np.minimum(hits.distance_N[wanted], np.float32(1e4))[:, None]
    )


def _windows(place_N3: Floats, normals_N3: Floats) -> Floats:
    """Dark panes in rows on upright walls."""
    across = place_N3[:, 1] * normals_N3[:, 0] - place_N3[:, 0] * normals_N3[:, 1]
    column, storey = (across / 2.6) % 1, (place_N3[:, 2] / 3.1) % 1
    pane = (
        (column > 0.25) & (column < 0.75) & (storey > 0.3) & (storey < 0.8) & (np.abs(normals_N3[:, 2]) < 0.5)
    )
    return np.where(pane, np.float32(0.25), _noise(across * 2, place_N3[:, 2] * 4) * 0.5 + 0.5)


def _noise(u: Floats, v: Floats) -> Floats:
    return _grain()[u.astype(np.int32) & 255, v.astype(np.int32) & 255]
