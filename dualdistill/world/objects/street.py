"""Street objects: barriers and cones (annotated), trees, poles, walls and buildings (background).

As in nuScenes, a barrier's heading is across its row: its length is short and its width is long.
"""

from __future__ import annotations

import numpy as np

from dualdistill.world.geometry.mesh import (
    FACADE,
    FOLIAGE,
    GLOW,
    Colour,
    Mesh,
    beam,
    blob,
    box,
    cylinder,
    join,
)
from dualdistill.world.objects.vehicles import STEEL, pick, vary

CONCRETE: Colour = (0.36, 0.35, 0.33)
WALL_THICKNESS_M = 0.7  # largest thickness, that of a hedge
ORANGE: Colour = (0.85, 0.16, 0.01)
WHITE: Colour = (0.8, 0.8, 0.8)
LEAVES: tuple[Colour, ...] = ((0.05, 0.16, 0.03), (0.09, 0.2, 0.04), (0.16, 0.18, 0.03), (0.04, 0.11, 0.04))
FACADES: tuple[Colour, ...] = (
    (0.4, 0.22, 0.15),
    (0.5, 0.45, 0.36),
    (0.3, 0.3, 0.31),
    (0.55, 0.53, 0.5),
    (0.34, 0.25, 0.2),
    (0.42, 0.38, 0.3),
)


def barrier_style(rng: np.random.Generator) -> str:
    """Draw a style, which all barriers of a row share."""
    return str(rng.choice(["concrete", "plastic", "board"], p=[0.4, 0.35, 0.25]))


def barrier(rng: np.random.Generator, style: str) -> Mesh:
    width = vary(rng, 2.0, 0.08)
    if style == "concrete":
        parts = [
            box((0.6, width, 0.3), (0, 0, 0.15), CONCRETE, 40),
            box((0.5, width, 0.65), (0, 0, 0.6), CONCRETE, 40, taper=(0.4, 1)),
        ]
    elif style == "plastic":
        parts = [box((0.5, width, 0.12), (0, 0, 0.06), (0.1, 0.1, 0.1), 20)]
        for part in range(4):
            colour = ORANGE if part % 2 else WHITE
            at = (0.0, (part - 1.5) * width / 4, 0.54)
            parts.append(box((0.45, width / 4, 0.88), at, colour, 110, taper=(0.5, 1)))
    else:
        parts = [
            box((0.06, width, 0.3), (0, 0, 0.9), WHITE, 200),
            box((0.05, width, 0.2), (0, 0, 0.5), WHITE, 200),
        ]
        for part in range(4):
            parts.append(box((0.08, width / 8, 0.3), (0, (part - 1.5) * width / 4, 0.9), ORANGE, 180))
        for side in (-0.4, 0.4):
            parts.append(beam((-0.28, side * width, 0.03), (0, side * width, 1.05), 0.06, STEEL, 30))
            parts.append(beam((0.28, side * width, 0.03), (0, side * width, 1.05), 0.06, STEEL, 30))
    return join(parts)


def traffic_cone(rng: np.random.Generator) -> Mesh:
    if rng.random() < 0.25:  # a delineator post
        height = vary(rng, 1.05, 0.05)
        return join(
            [
                cylinder(0.2, 0.08, (0, 0, 0.04), (0.03, 0.03, 0.03), 10),
                cylinder(0.07, height - 0.08, (0, 0, 0.04 + height / 2), ORANGE, 120),
                cylinder(0.08, 0.14, (0, 0, 0.8 * height), WHITE, 250),
            ]
        )
    height, foot = vary(rng, 0.8, 0.08), vary(rng, 0.21, 0.015)
    parts = [box((2 * foot, 2 * foot, 0.06), (0, 0, 0.03), (0.05, 0.05, 0.05), 10)]
    cuts = np.array([0.0, 0.35, 0.55, 0.7, 0.85, 1.0])
    radii = 0.85 * foot * (1 - cuts) + 0.03 * cuts
    for part in range(5):
        low, high = 0.06 + cuts[part : part + 2] * (height - 0.06)
        at = (0.0, 0.0, (low + high) / 2)
        white = part % 2 == 1
        parts.append(
            cylinder(
                radii[part],
                high - low,
                at,
                WHITE if white else ORANGE,
                250 if white else 110,
                taper=radii[part + 1] / radii[part],
            )
        )
    return join(parts)


def tree(rng: np.random.Generator) -> Mesh:
    height, crown = vary(rng, 6.5, 1.2), vary(rng, 3.2, 0.5)
    leaves = pick(rng, LEAVES)
    parts = [
        cylinder(0.16, height * 0.6, (0, 0, height * 0.3), (0.12, 0.08, 0.05), 25, taper=0.7, sections=6)
    ]
    for _ in range(3):
        x, y = rng.uniform(-0.8, 0.8, 2)
        size = crown * rng.uniform(0.7, 1.0)
        parts.append(blob((size, size, size * 0.9), (x, y, height * rng.uniform(0.6, 0.85)), leaves))
    return join(parts)


def bush(rng: np.random.Generator) -> Mesh:
    size = vary(rng, 1.2, 0.25)
    return blob((size, size, size), (0, 0, size * 0.4), pick(rng, LEAVES))


def lamp_post(rng: np.random.Generator) -> Mesh:
    height = vary(rng, 7.0, 0.5)
    return join(
        [
            cylinder(0.09, height, (0, 0, height / 2), (0.16, 0.17, 0.17), 40, taper=0.7, sections=6),
            beam((0, 0, height), (1.6, 0, height + 0.2), 0.09, (0.16, 0.17, 0.17)),
            box((0.6, 0.25, 0.12), (1.6, 0, height + 0.15), (0.75, 0.7, 0.55), texture=GLOW),
        ]
    )


def traffic_light(rng: np.random.Generator) -> Mesh:
    """A traffic light facing +x."""
    lit = rng.integers(3)
    parts = [
        cylinder(0.07, 3.4, (0, 0, 1.7), (0.1, 0.1, 0.1), 40, sections=6),
        box((0.25, 0.32, 0.95), (0.06, 0, 3.2), (0.02, 0.02, 0.02), 15),
    ]
    for place, colour in enumerate(((0.1, 0.9, 0.3), (0.95, 0.6, 0.02), (0.95, 0.03, 0.02))):
        shown = colour if place == lit else (0.03, 0.03, 0.03)
        parts.append(box((0.04, 0.2, 0.2), (0.2, 0, 2.9 + 0.3 * place), shown, 30, texture=GLOW))
    return join(parts)


def sign(rng: np.random.Generator) -> Mesh:
    face = pick(rng, ((0.03, 0.12, 0.45), (0.6, 0.03, 0.03), (0.7, 0.7, 0.7), (0.02, 0.25, 0.1)))
    return join(
        [
            cylinder(0.04, 2.6, (0, 0, 1.3), STEEL, 60, sections=6),
            box((0.04, 0.6, 0.6), (0.05, 0, 2.3), face, 250),
        ]
    )


def bin_or_box(rng: np.random.Generator) -> Mesh:
    """Street furniture without a class, which a detector must learn to ignore."""
    colour = pick(rng, ((0.03, 0.1, 0.04), (0.2, 0.2, 0.2), (0.4, 0.05, 0.04), (0.05, 0.1, 0.3)))
    size = (rng.uniform(0.4, 0.8), rng.uniform(0.4, 0.9), rng.uniform(0.8, 1.5))
    return join(
        [
            box(size, (0, 0, size[2] / 2), colour, 35),
            box((size[0], size[1], 0.06), (0, 0, size[2]), STEEL, 35),
        ]
    )


def wall(rng: np.random.Generator, length: float) -> Mesh:
    """A wall or a hedge along x, centred on the origin."""
    height = rng.uniform(0.8, 2.0)
    if rng.random() < 0.4:
        return box(
            (length, WALL_THICKNESS_M, height), (0, 0, height / 2), pick(rng, LEAVES), 15, texture=FOLIAGE
        )
    return box((length, 0.25, height), (0, 0, height / 2), pick(rng, FACADES), 35)


def building(rng: np.random.Generator, size: tuple[float, float]) -> Mesh:
    """A block with rows of windows over a footprint (x, y), centred on the origin."""
    height, colour = rng.uniform(6, 22), pick(rng, FACADES)
    shop = pick(rng, ((0.1, 0.1, 0.1), (0.25, 0.06, 0.05), (0.05, 0.12, 0.2), (0.3, 0.25, 0.15)))
    return join(
        [
            box((size[0], size[1], height), (0, 0, height / 2), colour, 40, texture=FACADE),
            box((size[0] + 0.3, size[1] + 0.3, 0.5), (0, 0, 3.4), shop, 35),
            box((size[0] + 0.4, size[1] + 0.4, 0.4), (0, 0, height), CONCRETE, 35),
        ]
    )
