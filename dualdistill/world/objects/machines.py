"""Construction vehicles: excavators, wheel loaders and rollers, facing +x."""

from __future__ import annotations

import numpy as np

from dualdistill.world.geometry.mesh import AXIS_Y, Colour, Mesh, beam, box, cylinder, join
from dualdistill.world.objects.vehicles import GLASS, STEEL, TYRE, pick, vary, wheels

MACHINE_YELLOW: Colour = (0.75, 0.42, 0.02)


def construction_vehicle(rng: np.random.Generator) -> Mesh:
    style = rng.choice(["excavator", "loader", "roller"], p=[0.5, 0.35, 0.15])
    paint = pick(rng, (MACHINE_YELLOW, MACHINE_YELLOW, (0.8, 0.2, 0.01)))
    return {"excavator": _excavator, "loader": _loader, "roller": _roller}[str(style)](rng, paint)


def _excavator(rng: np.random.Generator, paint: Colour) -> Mesh:
    scale = vary(rng, 1.0, 0.08)
    elbow, tip = (1.9, 0.0, vary(rng, 3.0, 0.2)), (3.5, 0.0, vary(rng, 1.6, 0.3))
    parts = [box((3.2, 0.5, 0.8), (0, side * 1.1, 0.4), TYRE, 6, taper=(0.85, 1)) for side in (-1, 1)]
    parts += [
        box((2.0, 1.9, 0.3), (0, 0, 0.75), STEEL, 20),
        box((2.8, 2.4, 1.0), (-0.5, 0, 1.4), paint, 70),
        box((1.3, 0.95, 1.7), (0.6, 0.65, 1.85), GLASS, 6, taper=(0.85, 0.9)),
        box((1.15, 0.9, 0.08), (0.6, 0.65, 2.72), paint, 70),
        box((0.7, 2.3, 0.9), (-1.6, 0, 1.5), (0.06, 0.06, 0.06), 15),
        beam((0.7, -0.35, 1.6), (elbow[0], -0.35, elbow[2]), 0.36, paint, 70),
        beam((elbow[0], -0.35, elbow[2]), (tip[0], -0.35, tip[2]), 0.28, paint, 70),
        box((0.8, 1.0, 0.8), (tip[0] - 0.2, -0.35, tip[2] - 0.4), STEEL, 30, taper=(0.5, 1)),
    ]
    return join(parts).transformed(np.eye(3) * scale)


def _loader(rng: np.random.Generator, paint: Colour) -> Mesh:
    scale, lift = vary(rng, 1.0, 0.08), vary(rng, 0.5, 0.2)
    parts = [
        box((2.4, 1.9, 1.0), (-1.5, 0, 1.4), paint, 70, taper=(0.9, 0.95)),
        box((1.5, 1.6, 1.5), (0.2, 0, 2.3), GLASS, 6, taper=(0.85, 0.9)),
        box((1.4, 1.5, 0.1), (0.2, 0, 3.08), paint, 70),
        box((1.8, 1.2, 0.7), (1.0, 0, 1.1), paint, 70),
        box((0.9, 2.6, 0.9), (3.2, 0, lift + 0.45), STEEL, 35, taper=(0.6, 1), lean=-0.25),
        box((0.15, 1.6, 0.3), (-2.7, 0, 1.2), (0.05, 0.05, 0.05), 10),
    ]
    parts += [
        beam((1.3, side * 0.55, 1.5), (2.9, side * 0.55, lift + 0.5), 0.24, paint, 70) for side in (-1, 1)
    ]
    return join([*parts, *wheels([-1.5, 1.35], 1.25, 0.7, 0.5)]).transformed(np.eye(3) * scale)


def _roller(rng: np.random.Generator, paint: Colour) -> Mesh:
    scale = vary(rng, 1.05, 0.08)
    parts = [
        cylinder(0.7, 2.1, (1.6, 0, 0.7), (0.3, 0.3, 0.3), 60, axis=AXIS_Y, sections=12),
        box((2.0, 0.12, 0.3), (1.2, 1.1, 0.8), paint, 70),
        box((2.0, 0.12, 0.3), (1.2, -1.1, 0.8), paint, 70),
        box((1.9, 1.7, 0.9), (-1.6, 0, 1.35), paint, 70, taper=(0.85, 0.9)),
        box((1.2, 1.5, 1.4), (-0.1, 0, 2.1), GLASS, 6, taper=(0.9, 0.9)),
        box((1.6, 1.8, 0.1), (-0.1, 0, 2.9), paint, 70),
    ]
    return join([*parts, *wheels([-1.7], 1.05, 0.7, 0.5)]).transformed(np.eye(3) * scale)
