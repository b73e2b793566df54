"""Cars, trucks, buses and trailers, with distinct front and rear.

Each builder draws a style, size and colours and returns a mesh that faces +x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualdistill.world.geometry.mesh import AXIS_X, AXIS_Y, GLOW, Colour, Mesh, box, cylinder, join

GLASS: Colour = (0.03, 0.045, 0.06)
TYRE: Colour = (0.015, 0.015, 0.016)
STEEL: Colour = (0.18, 0.18, 0.19)
HEADLIGHT: Colour = (1.0, 0.97, 0.85)
TAILLIGHT: Colour = (0.75, 0.01, 0.01)
PLATE: Colour = (0.8, 0.8, 0.7)
PAINTS: tuple[Colour, ...] = (
    (0.75, 0.75, 0.75),
    (0.42, 0.43, 0.45),
    (0.03, 0.03, 0.035),
    (0.15, 0.16, 0.18),
    (0.45, 0.02, 0.02),
    (0.03, 0.09, 0.32),
    (0.03, 0.18, 0.09),
    (0.45, 0.36, 0.22),
    (0.60, 0.32, 0.03),
    (0.16, 0.30, 0.42),
)


def pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    """Pick a colour at random and make it a little lighter or darker."""
    chosen = colours[rng.integers(len(colours))]
    shade = rng.uniform(0.85, 1.15)
    return (chosen[0] * shade, chosen[1] * shade, chosen[2] * shade)


def vary(rng: np.random.Generator, mean: float, spread: float) -> float:
    """Draw from a normal distribution clipped at two standard deviations."""
    return mean + spread * float(np.clip(rng.standard_normal(), -2, 2))


def wheels(xs: list[float], half_width: float, radius: float, width: float = 0.22) -> list[Mesh]:
    at = [(x, side * (half_width - width / 2), radius) for x in xs for side in (-1, 1)]
    return [cylinder(radius, width, (x, y, z), TYRE, 5, axis=AXIS_Y) for x, y, z in at]


def lights(
    front: float, back: float, half_width: float, z_front: float, z_back: float, size: float
) -> list[Mesh]:
    """A white pair at the front, a red pair and the number plate at the rear; the plate comes first."""
    parts = [box((0.06, 0.6 * size, 0.02 + 0.1 * size), (back, 0, z_back - 0.22 * size), PLATE, 220)]
    for side in (-1, 1):
        y = side * (half_width - 0.55 * size)
        parts.append(box((0.08, size, 0.45 * size), (front, y, z_front), HEADLIGHT, 160, texture=GLOW))
        parts.append(box((0.08, 0.7 * size, 0.6 * size), (back, y, z_back), TAILLIGHT, 180, texture=GLOW))
    return parts


@dataclass(frozen=True)
class CarStyle:
    """Proportions of a style of car, as shares of its length (from the rear) or of its height."""

    frequency: float
    length: float
    height: float
    cabin_from: float  # behind the cabin is the boot of a saloon, ahead of it the bonnet
    cabin_to: float
    belt: float = 0.56
    roof: float = 0.68  # of the cabin's length
    lean: float = -0.06  # of the cabin's length: moves the roof back, as the windscreen leans most
    wheel_m: float = 0.32


CAR_STYLES = {
    "saloon": CarStyle(0.30, 4.7, 1.47, 0.16, 0.72, lean=-0.03),
    "hatchback": CarStyle(0.20, 4.1, 1.50, 0.02, 0.70),
    "estate": CarStyle(0.13, 4.75, 1.52, 0.02, 0.72, roof=0.8),
    "suv": CarStyle(0.22, 4.7, 1.75, 0.02, 0.72, roof=0.8, wheel_m=0.37),
    "van": CarStyle(0.08, 5.0, 1.98, 0.02, 0.86, belt=0.5, roof=0.8),
    "pickup": CarStyle(0.07, 5.4, 1.85, 0.40, 0.74, wheel_m=0.37),
}


def car(rng: np.random.Generator) -> Mesh:
    style = str(rng.choice(list(CAR_STYLES), p=[body.frequency for body in CAR_STYLES.values()]))
    body = CAR_STYLES[style]
    length, width, height = (
        vary(rng, body.length, 0.15),
        vary(rng, 1.92, 0.06),
        vary(rng, body.height, 0.05),
    )
    paint, dark = pick(rng, PAINTS), (0.02, 0.02, 0.02)
    half, floor, belt = length / 2, 0.6 * body.wheel_m, body.belt * height
    cabin = (body.cabin_to - body.cabin_from) * length
    middle = (body.cabin_to + body.cabin_from - 1) / 2 * length
    lean, pane = body.lean * cabin, height - belt - 0.05
    at_pane = belt + pane / 2
    lower = (length - 0.06, width - 0.02, belt - floor)
    roof = (cabin * body.roof * 1.02, width * 0.8, 0.05)
    pillar = (cabin * 0.05, width * 0.88, pane)
    parts = [
        box(lower, (0, 0, (belt + floor) / 2), paint, 45, taper=(0.97, 0.94)),
        box((cabin, width * 0.92, pane), (middle, 0, at_pane), GLASS, 6, taper=(body.roof, 0.84), lean=lean),
        box(roof, (middle + lean, 0, height - 0.025), paint, 45),
        box(pillar, (middle + 0.02 * cabin, 0, at_pane), paint, 40, taper=(1, 0.9), lean=lean),
        box((0.1, width * 0.55, 0.18), (half - 0.05, 0, belt - 0.3), dark, 8),
    ]
    if style == "pickup":
        bed = 0.38 * length
        parts.append(box((bed, width * 0.8, 0.03), (-half + 0.05 + bed / 2, 0, belt + 0.005), dark, 8))
    parts += lights(half - 0.04, -half + 0.04, width / 2, belt - 0.14, belt - 0.12, 0.38)
    return join([*parts, *wheels([-0.3 * length, 0.31 * length], width / 2, body.wheel_m)])


def bus(rng: np.random.Generator) -> Mesh:
    length, width, height = vary(rng, 11.0, 0.8), vary(rng, 2.85, 0.08), vary(rng, 3.35, 0.12)
    paint = pick(
        rng, ((0.7, 0.7, 0.68), (0.55, 0.03, 0.03), (0.02, 0.22, 0.12), (0.65, 0.42, 0.03), (0.05, 0.12, 0.4))
    )
    trim = pick(rng, ((0.6, 0.6, 0.6), (0.04, 0.1, 0.3), (0.03, 0.03, 0.03)))
    half, band, sill = length / 2, 0.3 * height, 0.45 * height
    parts = [
        box((length - 0.1, width - 0.04, height - 0.35), (0, 0, (height + 0.35) / 2), paint, 45),
        box((length - 0.08, width - 0.02, 0.3), (0, 0, 0.55), trim, 40),
        box((length * 0.86, width, band), (-0.03 * length, 0, sill + band / 2), GLASS, 6),
        box((0.12, width * 0.9, 0.42 * height), (half - 0.06, 0, 0.58 * height), GLASS, 6),
        box(
            (0.1, width * 0.55, 0.08 * height),
            (half - 0.05, 0, 0.86 * height),
            (1.0, 0.5, 0.03),
            30,
            texture=GLOW,
        ),
        box((0.1, width * 0.7, 0.2 * height), (-half + 0.05, 0, 0.62 * height), GLASS, 6),
        box((0.1, width * 0.6, 0.14 * height), (-half + 0.05, 0, 0.25 * height), (0.03, 0.03, 0.03), 8),
        box((1.8, width * 0.6, 0.14), (-0.2 * length, 0, height - 0.03), trim, 30),
    ]
    for x in (0.38, 0.0):  # doors on the kerb side only
        parts.append(
            box(
                (1.1, 0.06, 0.62 * height),
                (x * length, -width / 2 + 0.02, 0.44 * height),
                (0.05, 0.06, 0.07),
                8,
            )
        )
    parts += lights(half - 0.04, -half + 0.04, width / 2, 0.75, 1.0, 0.4)
    return join([*parts, *wheels([-0.27 * length, 0.28 * length], width / 2, 0.48, 0.3)])


def _cab(front: float, depth: float, width: float, height: float, paint: Colour) -> list[Mesh]:
    """A lorry's cab with its front at x = front."""
    x = front - depth / 2
    return [
        box(
            (depth, width, height - 0.55),
            (x, 0, (height + 0.55) / 2),
            paint,
            45,
            taper=(0.9, 0.96),
            lean=-0.04,
        ),
        box((0.14, width * 0.9, 0.3 * height), (front - 0.07, 0, 0.68 * height), GLASS, 6, lean=-0.05),
        box((depth * 0.5, width + 0.02, 0.25 * height), (x + 0.1, 0, 0.7 * height), GLASS, 6),
        box((0.1, width * 0.8, 0.3), (front - 0.03, 0, 0.62), (0.04, 0.04, 0.04), 10),
    ]


def truck(rng: np.random.Generator) -> Mesh:
    style = rng.choice(["box", "tipper", "flatbed", "tractor"], p=[0.55, 0.15, 0.15, 0.15])
    if style == "tractor":
        return tractor(rng)
    length, width = vary(rng, 7.4, 0.6), vary(rng, 2.45, 0.07)
    height = vary(rng, 3.2 if style == "box" else 2.7, 0.15)
    paint, load = pick(rng, PAINTS), pick(rng, ((0.75, 0.75, 0.73), (0.5, 0.5, 0.5), *PAINTS[4:8]))
    half, cab_height = length / 2, min(2.65, height)
    bed = length - 2.1
    at = -half + 0.05 + bed / 2
    parts = _cab(half - 0.02, 1.9, width - 0.05, cab_height, paint)
    parts.append(box((length - 0.5, 0.9, 0.25), (-0.1, 0, 0.75), STEEL, 20))
    if style == "box":
        parts.append(box((bed, width, height - 0.95), (at, 0, (height + 0.95) / 2), load, 50))
        parts.append(
            box((0.03, width * 0.9, height - 1.15), (-half + 0.04, 0, (height + 0.95) / 2), STEEL, 35)
        )
    elif style == "tipper":
        parts.append(
            box((bed, width * 0.9, height - 1.2), (at, 0, (height + 0.9) / 2), load, 35, taper=(1.04, 1.1))
        )
        parts.append(
            box((bed * 0.9, width * 0.8, 0.3), (at, 0, height - 0.2), (0.2, 0.13, 0.07), 20, taper=(0.5, 0.6))
        )
    else:
        parts.append(box((bed, width, 0.16), (at, 0, 1.05), (0.25, 0.16, 0.08), 25))
        parts.append(box((bed * 0.6, width * 0.8, 0.9), (at - 0.3, 0, 1.6), load, 30))
    parts += lights(half - 0.04, -half + 0.04, width / 2, 0.9, 0.9, 0.36)
    return join([*parts, *wheels([-0.32 * length, 0.33 * length], width / 2, 0.47, 0.3)])


def tractor(rng: np.random.Generator) -> Mesh:
    """The vehicle that pulls a trailer."""
    length, width, height = vary(rng, 6.0, 0.3), 2.5, vary(rng, 3.3, 0.15)
    paint, half = pick(rng, PAINTS), length / 2
    parts = _cab(half - 0.02, 2.2, width - 0.05, height, paint)
    parts.append(box((length - 0.3, 0.95, 0.3), (-0.1, 0, 0.85), STEEL, 20))
    parts.append(box((1.0, 0.9, 0.12), (-half + 1.5, 0, 1.08), (0.05, 0.05, 0.05), 10))
    parts.append(cylinder(0.32, 1.0, (0.3, 0.95, 0.75), STEEL, 60, axis=AXIS_X))
    parts += lights(half - 0.04, -half + 0.1, width / 2, 0.85, 0.9, 0.36)
    return join([*parts, *wheels([-0.33 * length, -0.12 * length, 0.32 * length], width / 2, 0.5, 0.35)])


def trailer(rng: np.random.Generator) -> Mesh:
    style = rng.choice(["box", "curtain", "tank", "flatbed"], p=[0.4, 0.3, 0.15, 0.15])
    length, width, height = vary(rng, 11.5, 0.9), vary(rng, 2.55, 0.06), vary(rng, 3.8, 0.12)
    half = length / 2
    paint = pick(
        rng, ((0.75, 0.75, 0.75), (0.5, 0.5, 0.52), (0.05, 0.1, 0.35), (0.5, 0.05, 0.04), (0.05, 0.25, 0.12))
    )
    parts = [box((length - 0.1, 1.1, 0.25), (0, 0, 1.05), STEEL, 20)]
    if style == "tank":
        parts.append(
            cylinder(
                width / 2,
                length - 0.1,
                (0, 0, 1.15 + width / 2),
                (0.6, 0.6, 0.62),
                70,
                axis=AXIS_X,
                sections=12,
            )
        )
    elif style == "flatbed":
        parts.append(box((length - 0.05, width, 0.15), (0, 0, 1.25), (0.3, 0.2, 0.1), 25))
        for x in (-0.25, 0.2):
            parts.append(box((length * 0.3, width * 0.85, 1.3), (x * length, 0, 1.95), paint, 35))
    else:
        parts.append(box((length, width, height - 1.15), (0, 0, (height + 1.15) / 2), paint, 50))
        parts.append(
            box((0.02, width * 0.06, height - 1.3), (-half - 0.005, 0, (height + 1.15) / 2), STEEL, 30)
        )
        if style == "curtain":
            parts.append(box((length * 0.9, width + 0.03, 0.5), (0, 0, 0.62 * height), pick(rng, PAINTS), 50))
    for x in (-0.3, -0.1, 0.1, 0.3):  # reflecting tape along the sides
        parts.append(box((0.12 * length, 0.9 * width, 0.1), (x * length, 0, 0.98), (0.6, 0.05, 0.03), 230))
    parts.append(box((0.12, 0.7, 0.8), (0.25 * length, 0, 0.6), STEEL, 20))
    parts.append(box((0.06, width, 0.16), (-half + 0.03, 0, 0.75), (0.8, 0.75, 0.2), 230))
    parts += lights(-half + 0.3, -half + 0.02, width / 2, 0.9, 0.95, 0.4)[1:]
    return join([*parts, *wheels([-0.36 * length, -0.25 * length, -0.14 * length], width / 2, 0.5, 0.35)])
