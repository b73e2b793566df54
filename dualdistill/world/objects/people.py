"""Pedestrians, cycles and riders; face, lamps and posture distinguish front from rear.

Each builder returns a mesh that faces +x.
"""

from __future__ import annotations

import numpy as np

from dualdistill.world.geometry.mesh import (
    AXIS_X,
    AXIS_Y,
    GLOW,
    Colour,
    Mesh,
    ball,
    beam,
    box,
    cylinder,
    join,
    ring,
    rotation,
)
from dualdistill.world.objects.vehicles import HEADLIGHT, PAINTS, STEEL, TAILLIGHT, TYRE, pick, vary

SKIN: tuple[Colour, ...] = ((0.55, 0.33, 0.22), (0.35, 0.19, 0.11), (0.16, 0.08, 0.05), (0.62, 0.42, 0.32))
HAIR: tuple[Colour, ...] = ((0.02, 0.015, 0.01), (0.09, 0.05, 0.02), (0.3, 0.2, 0.08), (0.25, 0.25, 0.25))
CLOTHES: tuple[Colour, ...] = (
    (0.04, 0.05, 0.12),
    (0.03, 0.03, 0.03),
    (0.5, 0.5, 0.48),
    (0.45, 0.05, 0.05),
    (0.06, 0.2, 0.35),
    (0.1, 0.25, 0.1),
    (0.45, 0.3, 0.1),
    (0.3, 0.1, 0.3),
)
HIGH_VISIBILITY: tuple[Colour, ...] = ((0.85, 0.3, 0.01), (0.62, 0.8, 0.04))
# in the near infrared all skin is bright and dark hair is not
SKIN_INTENSITY, HAIR_INTENSITY = 70.0, 10.0
REFLECTOR = 230.0


def person(rng: np.random.Generator, posture: str, *, worker: bool = False, child: bool = False) -> Mesh:
    """A pedestrian; posture: standing | moving | sitting."""
    height = vary(rng, 1.2 if child else 1.74, 0.09)
    shirt = pick(rng, HIGH_VISIBILITY if worker else CLOTHES)
    trousers, skin = pick(rng, CLOTHES[:5]), pick(rng, SKIN)
    leg, hip = 0.47 * height, 0.0 if posture != "sitting" else -0.24 * height
    stride = {"standing": 0.02, "moving": vary(rng, 0.17, 0.03) * height, "sitting": 0.0}[posture]
    parts = _legs(height, leg, stride, trousers) if posture != "sitting" else _seat(height, trousers)
    shoulder = 0.82 * height + hip
    lean = 0.06 if posture == "moving" else 0.0  # forward when walking
    parts.append(
        box(
            (0.2, 0.34, 0.36 * height),
            (0, 0, leg + hip + 0.18 * height),
            shirt,
            60 if worker else 25,
            taper=(1.0, 1.2),
            lean=lean,
        )
    )
    parts += _arms(posture, (lean, shoulder), 0.46 * height + hip, stride * 0.8, shirt, rng.random() < 0.8)
    parts.append(ball((0.2, 0.17, 0.25), (lean + 0.03, 0, 0.925 * height + hip), skin, SKIN_INTENSITY))
    top = (0.75, 0.55, 0.02) if worker else pick(rng, HAIR)
    crown = (lean - 0.025, 0, 0.95 * height + hip)
    parts.append(ball((0.22, 0.2, 0.2), crown, top, 60 if worker else HAIR_INTENSITY))
    if worker:
        parts.append(box((0.22, 0.4, 0.07), (0, 0, leg + 0.14 * height), (0.8, 0.8, 0.8), 240))
    elif rng.random() < 0.7:
        parts += _backpack((lean / 2 - 0.18, 0.68 * height + hip), pick(rng, CLOTHES))
    return join(parts)


def _arms(
    posture: str, shoulder: tuple[float, float], low: float, swing: float, colour: Colour, busy: bool
) -> list[Mesh]:
    """Swinging or hanging arms; a busy person (a telephone, a bag) has both hands in front."""
    parts = []
    for side in (-1, 1):
        y = side * 0.25
        if posture == "standing" and busy:
            elbow, hand = (0.02, y, 0.72 * shoulder[1]), (0.34, y, 0.8 * shoulder[1])
            parts.append(beam((shoulder[0], y, shoulder[1]), elbow, 0.095, colour, 25))
            parts.append(beam(elbow, hand, 0.09, colour, 25))
            continue
        ahead = {"moving": 0.06 + side * swing, "standing": 0.08, "sitting": 0.2}[posture]
        parts.append(beam((shoulder[0], y, shoulder[1]), (ahead, side * 0.26, low), 0.095, colour, 25))
    return parts


def _backpack(at: tuple[float, float], colour: Colour) -> list[Mesh]:
    """A bag on the back at (x, z), with a reflective strip."""
    return [
        box((0.2, 0.3, 0.42), (at[0], 0, at[1]), colour, 25),
        box((0.02, 0.24, 0.06), (at[0] - 0.105, 0, at[1]), (0.7, 0.7, 0.7), REFLECTOR),
    ]


def _legs(height: float, leg: float, stride: float, colour: Colour) -> list[Mesh]:
    parts = []
    for side in (-1, 1):
        foot = (side * stride, side * 0.1, 0.06)
        parts.append(beam((0, side * 0.09, leg + 0.02), foot, 0.15, colour, 20))
        parts.append(box((0.26, 0.1, 0.08), (foot[0] + 0.05, foot[1], 0.04), (0.02, 0.02, 0.02), 12))
    return parts


def _seat(height: float, colour: Colour) -> list[Mesh]:
    """Thighs forward, shins down, on a stool of matching height."""
    parts = [box((0.4, 0.45, 0.06), (-0.02, 0, 0.21 * height), (0.2, 0.11, 0.05), 20)]
    parts += [box((0.05, 0.4, 0.2 * height), (x, 0, 0.1 * height), STEEL, 20) for x in (-0.15, 0.1)]
    for side in (-1, 1):
        parts.append(box((0.45, 0.15, 0.15), (0.2, side * 0.1, 0.27 * height), colour, 20))
        parts.append(box((0.14, 0.13, 0.25 * height), (0.38, side * 0.1, 0.125 * height), colour, 20))
    return parts


def rider(
    rng: np.random.Generator, saddle: tuple[float, float], bars: tuple[float, float], helmet: bool
) -> list[Mesh]:
    """A person between saddle and handlebar, each given as (x, z)."""
    shirt, trousers = pick(rng, (*CLOTHES, *HIGH_VISIBILITY)), pick(rng, CLOTHES[:5])
    hip, shoulder = (saddle[0], saddle[1] + 0.1), (saddle[0] + 0.28, saddle[1] + 0.62)
    parts = [beam((hip[0], 0, hip[1]), (shoulder[0], 0, shoulder[1]), 0.3, shirt, 30)]
    for side in (-1, 1):
        parts.append(
            beam(
                (shoulder[0], side * 0.2, shoulder[1] - 0.05),
                (bars[0], side * 0.22, bars[1]),
                0.09,
                shirt,
                25,
            )
        )
        knee = (saddle[0] + 0.38, side * 0.13, saddle[1] - 0.08)
        parts.append(beam((hip[0], side * 0.12, hip[1] - 0.02), knee, 0.14, trousers, 20))
        parts.append(
            beam(knee, (saddle[0] + 0.18, side * 0.13, max(saddle[1] - 0.62, 0.12)), 0.12, trousers, 20)
        )
    head = (shoulder[0] + 0.1, 0.0, shoulder[1] + 0.2)
    parts.append(ball((0.2, 0.17, 0.24), head, pick(rng, SKIN), SKIN_INTENSITY))
    cap = pick(rng, PAINTS if helmet else HAIR)
    parts.append(ball((0.27, 0.23, 0.22), (head[0] - 0.04, 0, head[2] + 0.05), cap, 40))
    return parts


def bicycle(rng: np.random.Generator, with_rider: bool) -> Mesh:
    frame, radius = pick(rng, PAINTS), 0.34
    rear, front, pedal = (-0.52, 0.0, radius), (0.54, 0.0, radius), (-0.06, 0.0, 0.3)
    saddle, head = (-0.2, 0.0, 0.92), (0.36, 0.0, 0.95)
    parts = [ring(radius, 0.06, wheel, TYRE) for wheel in (rear, front)]
    parts += [cylinder(0.06, 0.1, wheel, STEEL, 60, axis=AXIS_Y, sections=6) for wheel in (rear, front)]
    tubes = ((rear, pedal), (rear, saddle), (pedal, saddle), (pedal, head), (saddle, head), (head, front))
    parts += [beam(start, end, 0.055, frame, 40) for start, end in tubes]
    parts += [
        box((0.26, 0.16, 0.07), (-0.22, 0, 0.96), TYRE, 8),
        box((0.06, 0.58, 0.05), (0.36, 0, 1.02), STEEL, 40),
        box((0.07, 0.09, 0.09), (0.45, 0, 0.9), HEADLIGHT, 120, texture=GLOW),
        box((0.05, 0.08, 0.08), (-0.45, 0, 0.72), TAILLIGHT, 200, texture=GLOW),
        box((0.03, 0.12, 0.12), (-0.88, 0, 0.45), TAILLIGHT, REFLECTOR),  # at the end of the mudguard
    ]
    if rng.random() < 0.7:
        parts.append(box((0.3, 0.38, 0.26), (0.6, 0, 1.0), (0.08, 0.08, 0.08), 45, taper=(1.15, 1.15)))
    if with_rider:
        parts += rider(rng, (saddle[0], saddle[2]), (head[0], 1.04), helmet=rng.random() < 0.6)
    return join(parts).transformed(np.eye(3) * vary(rng, 1.0, 0.03))


def motorcycle(rng: np.random.Generator, with_rider: bool) -> Mesh:
    paint, radius = pick(rng, PAINTS), 0.31
    parts = [cylinder(radius, 0.15, (x, 0, radius), TYRE, 6, axis=AXIS_Y, sections=10) for x in (-0.68, 0.7)]
    parts += [
        box((0.75, 0.34, 0.36), (0.02, 0, 0.48), STEEL, 35),
        box((0.6, 0.32, 0.26), (0.18, 0, 0.82), paint, 50, taper=(0.7, 0.7)),
        box((0.75, 0.3, 0.12), (-0.42, 0, 0.8), TYRE, 8, lean=-0.05),
        box((0.4, 0.26, 0.14), (-0.78, 0, 0.78), paint, 50),
        beam((0.7, 0, radius), (0.46, 0, 1.02), 0.12, STEEL, 45),
        box((0.1, 0.74, 0.07), (0.42, 0, 1.06), STEEL, 40),
        box((0.16, 0.26, 0.24), (0.58, 0, 0.92), HEADLIGHT, 140, texture=GLOW),
        box((0.05, 0.36, 0.3), (0.5, 0, 1.2), (0.1, 0.12, 0.14), 6, lean=-0.12),
        box((0.06, 0.2, 0.1), (-0.99, 0, 0.72), TAILLIGHT, 200, texture=GLOW),
        box((0.04, 0.18, 0.14), (-0.99, 0, 0.55), (0.8, 0.8, 0.7), 220),
        cylinder(0.06, 0.6, (-0.45, -0.22, 0.36), STEEL, 70, axis=AXIS_X, sections=6),
    ]
    if with_rider:
        parts += rider(rng, (-0.28, 0.85), (0.4, 1.06), helmet=True)
    else:  # leaning on its stand
        return join(parts).transformed(rotation(-0.12, AXIS_X) * vary(rng, 1.0, 0.04))
    return join(parts).transformed(np.eye(3) * vary(rng, 1.0, 0.04))
