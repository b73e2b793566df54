"""Camera images from ray hits: shading, shadows, texture, haze and noise.

Axes: N pixels, row by row; T triangles. Colours [3, N] are in linear light until the last step; the channel
comes first because numpy is several times faster along long rows than along rows of three.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from dualdistill.world.geometry.mesh import FACADE, FOLIAGE, GLOW, GROUND, Floats, floats
from dualdistill.world.scene import night, rain
from dualdistill.world.scene.light import Light
from dualdistill.world.scene.night import LampLight
from dualdistill.world.sensors.raycast import Hits
from dualdistill.world.sensors.rig import Pose

Pixels = NDArray[np.uint8]
NOISE_LENGTH = 1 << 20
WINDOW_SPACING_M, STOREY_M = 2.6, 3.1
DARK_PANE, LIT_PANE = np.float32(0.25), np.float32(9.0)  # relative to the wall
LIT_FROM = 1.07  # threshold on the noise of a pane: about one in four is lit


def render_image(
    hits: Hits, light: Light, ego: Pose, size: tuple[int, int], rng: np.random.Generator
) -> Pixels:
    """Render the image [height, width, 3] of one camera's hits."""
    # rays into the sky are shaded like triangle 0 and overwritten at the end: cheaper than masking them
    triangle = np.maximum(hits.triangle_N, 0)
    points_3N = _points(hits)
    length = np.sqrt(np.einsum("nc,nc->n", hits.rays_N3, hits.rays_N3))
    sunlit = _sunlit(hits, light, points_3N, size) if light.casts_shadows else None
    vignette = _vignette(*size)
    haze = np.exp(np.float32(-light.fog_per_m) * hits.distance_N * length)
    texture, shine = _texture(hits, light, points_3N, triangle)
    strength = texture * haze * vignette
    veil = (1 - haze + shine * haze) * vignette
    lamps = None if light.lamps is None else _lamps(hits, light.lamps, points_3N, triangle, ego)
    sky = np.flatnonzero(hits.triangle_N < 0)
    sky_colour = light.sky_colour(hits.rays_N3[sky] / length[sky, None]) * vignette[sky, None]
    colour_3N = np.empty((3, len(triangle)), np.float32)
    for channel, colour in enumerate(colour_3N):
        hits.surface.shadow_3T[channel].take(triangle, out=colour)
        if sunlit is not None:
            colour += hits.surface.sun_3T[channel].take(triangle) * sunlit
        if lamps is not None:
            colour *= 1 + night.LAMP_COLOUR[channel] * lamps
        colour *= strength
        colour += veil * light.horizon_colour_3[channel]
        colour[sky] = sky_colour[:, channel]
    _expose(colour_3N, light.noise, rng)
    if light.wet:
        rain.add_rain(colour_3N.reshape(3, *size), rng)
    pixels_3N = np.clip(colour_3N, 0, 255, out=colour_3N).astype(np.uint8)
    return np.ascontiguousarray(pixels_3N.T).reshape(*size, 3)


def _lamps(
    hits: Hits, lamps: LampLight, points_3N: Floats, triangle_N: NDArray[np.int32], ego: Pose
) -> Floats:
    """Light of street lamps and headlights, relative to the night sky; glowing triangles get none."""
    added = lamps.light_at(points_3N) + night.headlights_at(points_3N, ego)
    added[hits.surface.texture_T.take(triangle_N) == GLOW] = 0
    return added


def _points(hits: Hits) -> Floats:
    points = np.empty((3, len(hits.distance_N)), np.float32)
    for axis in range(3):
        np.multiply(hits.rays_N3[:, axis], hits.distance_N, out=points[axis])
        points[axis] += hits.origin_3[axis]
    return points


def _sunlit(hits: Hits, light: Light, points_3N: Floats, size: tuple[int, int]) -> Floats:
    """1 where the sun reaches the pixel's surface, else 0."""
    triangle = hits.triangle_N
    sunny = (triangle >= 0) & hits.surface.faces_sun_T.take(triangle, mode="clip")
    # in a square of four, pixels that show the first one's triangle copy its result: far fewer shadow rays
    first = _first_of_four(*size)
    copies = sunny & (triangle == triangle.take(first))
    copies[first] = False
    tested = np.flatnonzero(sunny & ~copies)
    sunlit = np.zeros(len(triangle), np.float32)
    sunlit[tested] = hits.sunlit(points_3N, tested, light.sun_3)
    copied = np.flatnonzero(copies)
    sunlit[copied] = sunlit.take(first.take(copied))
    return sunlit


@functools.cache
def _first_of_four(height: int, width: int) -> NDArray[np.intp]:
    """Index of the top left pixel of each pixel's 2 x 2 square."""
    return np.add.outer(np.arange(height) // 2 * 2 * width, np.arange(width) // 2 * 2).reshape(-1)


def _expose(colour_3N: Floats, noise: float, rng: np.random.Generator) -> None:
    """Convert linear light to 0..255 in place, with a gamma of 2, and add sensor noise."""
    np.sqrt(colour_3N, out=colour_3N)
    colour_3N *= 255
    count = colour_3N.shape[1]
    start = int(rng.integers(NOISE_LENGTH))
    colour_3N += _sensor_noise(count)[start : start + count] * np.float32(noise)


@functools.cache
def _sensor_noise(count: int) -> Floats:
    """Fixed noise of which each image takes a random stretch: ten times as fast as drawing it anew."""
    return np.random.default_rng(20251122).standard_normal(NOISE_LENGTH + count, dtype=np.float32)


@functools.cache
def _vignette(height: int, width: int) -> Floats:
    rows, columns = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    return floats(1 - 0.13 * (rows**2 + columns**2)).reshape(-1)


@functools.cache
def _grain() -> Floats:
    """Square noise tile with mean 1, flattened row by row; the same in every world."""
    rng = np.random.default_rng(20251121)
    tile = np.ones((256, 256))
    for cell, share in ((1, 0.05), (4, 0.06), (16, 0.06)):
        coarse = rng.standard_normal((256 // cell, 256 // cell))
        tile += share * np.kron(coarse, np.ones((cell, cell)))
    return floats(tile).reshape(-1)


def _noise(u: Floats, v: Floats) -> Floats:
    return _grain().take(((u.astype(np.int32) & 255) << 8) | (v.astype(np.int32) & 255))


def _texture(
    hits: Hits, light: Light, points_3N: Floats, triangle_N: NDArray[np.int32]
) -> tuple[Floats, Floats | float]:
    """Factor on each pixel's colour, fixed in world coordinates, and the reflection of wet ground."""
    kind = hits.surface.texture_T.take(triangle_N)
    factor = np.ones(len(kind), np.float32)
    shine: Floats | float = 0.0
    ground = np.flatnonzero(kind == GROUND)
    x, y, z = points_3N.take(ground, axis=1)
    factor[ground] = _noise(x * 6, y * 6)
    if light.wet:
        factor[ground] *= rain.DARKENED
        shine = np.zeros(len(kind), np.float32)
        shine[ground] = rain.puddle_shine(_noise(x * 2, y * 2))
    leaves = np.flatnonzero(kind == FOLIAGE)
    x, y, z = points_3N.take(leaves, axis=1)
    factor[leaves] = 2.5 * _noise(x * 5 + z * 3, y * 5 - z * 4) - 1.5
    walls = np.flatnonzero(kind == FACADE)
    normals_N3 = hits.surface.normals_T3.take(triangle_N[walls], axis=0)
    factor[walls] = _windows(points_3N.take(walls, axis=1), normals_N3, lit=light.lamps is not None)
    return np.maximum(factor, np.float32(0.1)), shine


def _windows(points_3N: Floats, normals_N3: Floats, lit: bool) -> Floats:
    """Rows of dark window panes on vertical walls; at night some of them are lit."""
    x, y, z = points_3N
    across = y * normals_N3[:, 0] - x * normals_N3[:, 1]
    column, storey = across * np.float32(1 / WINDOW_SPACING_M), z * np.float32(1 / STOREY_M)
    column_index, storey_index = np.floor(column), np.floor(storey)
    right, up = column - column_index, storey - storey_index  # position in the window's tile, 0 to 1
    pane = (right > 0.25) & (right < 0.75) & (up > 0.3) & (up < 0.8)
    pane &= np.abs(normals_N3[:, 2]) < 0.5
    glass: Floats | np.float32 = DARK_PANE
    if lit:
        glass = np.where(_noise(column_index * 7, storey_index * 13) > LIT_FROM, LIT_PANE, DARK_PANE)
    return np.where(pane, glass, _noise(across * 2, z * 4) * 0.5 + 0.5)
