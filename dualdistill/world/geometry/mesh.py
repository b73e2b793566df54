"""Triangle meshes with the material of each triangle, and the basic shapes that all objects are built from.

Metres, x forward, y left, z up; an object's mesh stands on z = 0 with its footprint centred on the origin.
Axes: T triangles, the 3 corners of a triangle, 3 coordinates (or red, green, blue in linear light 0..1).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]
Vector = tuple[float, float, float]
Colour = tuple[float, float, float]

PLAIN, GROUND, FACADE, FOLIAGE, GLOW = range(5)  # the texture that the camera gives a triangle
AXIS_X, AXIS_Y, AXIS_Z = 0, 1, 2


def floats(values: ArrayLike) -> Floats:
    """Convert to a float32 array."""
    return np.asarray(values, dtype=np.float32)


@dataclass(frozen=True)
class Mesh:
    corners_T33: Floats
    colour_T3: Floats
    intensity_T: Floats  # LiDAR return at normal incidence, 0..255
    texture_T: NDArray[np.uint8]

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> Mesh:
        """Rotate about the vertical axis, then translate."""
        return self.transformed(rotation(yaw), (x, y, z))

    def transformed(self, rotation_33: NDArray[np.floating], shift: Vector = (0.0, 0.0, 0.0)) -> Mesh:
        corners = self.corners_T33 @ floats(rotation_33.T) + floats(shift)
        return Mesh(corners, self.colour_T3, self.intensity_T, self.texture_T)

    @property
    def normals_T3(self) -> Floats:
        first, second, third = np.moveaxis(self.corners_T33, 1, 0)
        normals = np.cross(second - first, third - first)
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), np.float32(1e-12))

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        points = self.corners_T33.reshape(-1, 3)
        return points.min(0), points.max(0)


def join(meshes: Iterable[Mesh]) -> Mesh:
    parts = list(meshes)
    return Mesh(
        np.concatenate([part.corners_T33 for part in parts]),
        np.concatenate([part.colour_T3 for part in parts]),
        np.concatenate([part.intensity_T for part in parts]),
        np.concatenate([part.texture_T for part in parts]),
    )


def rotation(angle: float, axis: int = AXIS_Z) -> NDArray[np.float64]:
    """Rotation matrix about an axis, counter-clockwise when seen from the axis's tip."""
    cosine, sine = math.cos(angle), math.sin(angle)
    if axis == AXIS_Z:
        rows = [[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]]
    elif axis == AXIS_Y:
        rows = [[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]]
    else:
        rows = [[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]]
    return np.array(rows)


# rotations that lay a shape standing along z down along x or y
UPRIGHT_TO_AXIS = {AXIS_X: rotation(np.pi / 2, AXIS_Y), AXIS_Y: rotation(-np.pi / 2, AXIS_X)}


def paint(corners_T33: Floats, colour: Colour, intensity: float, texture: int = PLAIN) -> Mesh:
    """Mesh whose triangles all share one material."""
    count = len(corners_T33)
    colours = np.empty((count, 3), np.float32)
    colours[:] = colour
    return Mesh(
        np.ascontiguousarray(corners_T33, dtype=np.float32),
        colours,
        np.full(count, intensity, np.float32),
        np.full(count, texture, np.uint8),
    )


@functools.cache
def _unit_shape(kind: str) -> Floats:
    """Shape of diameter and height 1, centred on the origin."""
    if kind == "box":
        shape = trimesh.creation.box((1, 1, 1))
    elif kind == "blob":
        shape = trimesh.creation.icosphere(subdivisions=1, radius=0.5)
    elif kind == "ball":
        shape = trimesh.creation.icosahedron()
        shape.apply_scale(0.5 / np.linalg.norm(shape.vertices[0]))
    else:
        shape = trimesh.creation.cylinder(radius=0.5, height=1, sections=int(kind))
    return np.asarray(shape.triangles, dtype=np.float32)


def box(
    size: Vector,
    at: Vector,
    colour: Colour,
    intensity: float = 40.0,
    *,
    taper: tuple[float, float] = (1.0, 1.0),
    lean: float = 0.0,
    texture: int = PLAIN,
) -> Mesh:
    """Box centred on `at`, its top scaled by `taper` in x and y and shifted forward by `lean` metres."""
    return _shape("box", size, at, colour, intensity, taper, lean, None, texture)


def ball(size: Vector, at: Vector, colour: Colour, intensity: float = 30.0) -> Mesh:
    """Ellipsoid of 20 faces, for heads and helmets."""
    return _shape("ball", size, at, colour, intensity, (1.0, 1.0), 0.0, None, PLAIN)


def blob(size: Vector, at: Vector, colour: Colour, intensity: float = 15.0, texture: int = FOLIAGE) -> Mesh:
    """Ellipsoid of 80 faces, for tree crowns and bushes."""
    return _shape("blob", size, at, colour, intensity, (1.0, 1.0), 0.0, None, texture)


def cylinder(
    radius: float,
    length: float,
    at: Vector,
    colour: Colour,
    intensity: float = 30.0,
    *,
    axis: int = AXIS_Z,
    taper: float = 1.0,
    sections: int = 8,
    texture: int = PLAIN,
) -> Mesh:
    """Cylinder along an axis; `taper` is the ratio of the far radius to the near radius."""
    size = (2 * radius, 2 * radius, length)
    return _shape(
        str(sections), size, at, colour, intensity, (taper, taper), 0.0, UPRIGHT_TO_AXIS.get(axis), texture
    )


def ring(radius: float, width: float, at: Vector, colour: Colour, intensity: float = 10.0) -> Mesh:
    """Flat ring in the x-z plane: a bicycle wheel, open between rim and hub."""
    angles = np.linspace(0, 2 * np.pi, 13)
    rim = np.stack([np.cos(angles), np.zeros_like(angles), np.sin(angles)], 1)
    outer, inner = radius * rim, (radius - width) * rim
    first = np.stack([outer[:-1], outer[1:], inner[:-1]], 1)
    second = np.stack([inner[:-1], outer[1:], inner[1:]], 1)
    return paint((np.concatenate([first, second]) + np.array(at)).astype(np.float32), colour, intensity)


def rectangle(
    x: tuple[float, float], y: tuple[float, float], z: float, colour: Colour, intensity: float, texture: int
) -> Mesh:
    """Horizontal rectangle facing up."""
    a, b, c, d = (x[0], y[0], z), (x[1], y[0], z), (x[1], y[1], z), (x[0], y[1], z)
    return paint(floats([[a, b, c], [a, c, d]]), colour, intensity, texture)


def beam(start: Vector, end: Vector, thickness: float, colour: Colour, intensity: float = 30.0) -> Mesh:
    """Square bar between two points, for tubes, booms and limbs."""
    along = np.subtract(end, start)
    length = float(np.linalg.norm(along))
    pitch = -float(np.arctan2(along[2], np.hypot(along[0], along[1])))
    yaw = float(np.arctan2(along[1], along[0]))
    middle = np.add(start, end) / 2
    bar = box((length, thickness, thickness), (0, 0, 0), colour, intensity)
    return bar.transformed(rotation(yaw) @ rotation(pitch, AXIS_Y), (middle[0], middle[1], middle[2]))


def _shape(
    kind: str,
    size: Vector,
    at: Vector,
    colour: Colour,
    intensity: float,
    taper: tuple[float, float],
    lean: float,
    rotation_33: NDArray[np.float64] | None,
    texture: int,
) -> Mesh:
    corners = _unit_shape(kind) * floats(size)
    if taper != (1.0, 1.0) or lean:
        height = _unit_shape(kind)[..., 2:] + np.float32(0.5)  # 0 at the bottom, 1 at the top
        corners[..., :2] *= 1 + height * (floats(taper) - 1)
        corners[..., :1] += height * np.float32(lean)
    if rotation_33 is not None:
        corners = corners @ floats(rotation_33.T)
    return paint(corners + floats(at), colour, intensity, texture)
