"""Meshes of a town without its traffic: ground, markings, houses, walls, street furniture.

Also the drivable area as rectangles, for the map mask.
"""

from __future__ import annotations

import numpy as np

from dualdistill.world.geometry.mesh import GROUND, PLAIN, Colour, Mesh, box, join, rectangle
from dualdistill.world.geometry.motion import Array
from dualdistill.world.objects import street
from dualdistill.world.scene.town import (
    LANE_M,
    NORTH,
    PARKING_M,
    PAVEMENT_M,
    SOUTH,
    Town,
    arm_direction,
    arm_yaw,
    pavement_places,
    right_of,
)

GRASS: Colour = (0.10, 0.14, 0.05)
EARTH: Colour = (0.24, 0.17, 0.10)
ASPHALT: Colour = (0.085, 0.085, 0.09)
PAVING: Colour = (0.27, 0.26, 0.25)
MARKING: Colour = (0.62, 0.62, 0.60)
YELLOW: Colour = (0.62, 0.42, 0.05)
Span = tuple[float, float]
# builder of each kind of street furniture, and the side of its footprint in metres
FURNITURE = ((street.lamp_post, 0.4), (street.sign, 0.4), (street.traffic_light, 0.4))
LAMP, SIGN, SIGNAL = range(3)
PLACES_PER_SIGN = 55  # a place on the pavement every 1.6 m
LAMP_SPACING_M = 24.0  # on alternating sides of a street


def drivable(town: Town) -> list[tuple[Span, Span]]:
    """Asphalt rectangles (x, y): the streets and the car parks."""
    main = ((-town.half_length, town.half_length), (-town.half_main, town.half_main))
    areas: list[tuple[Span, Span]] = [main]
    for arm, low, high in ((NORTH, 0.0, town.half_length), (SOUTH, -town.half_length, 0.0)):
        if arm in town.arms:
            areas.append(((-town.half_cross, town.half_cross), (low, high)))
    return areas + [(plot.x, plot.y) for plot in town.plots if plot.kind == "carpark"]


def ground(town: Town) -> Mesh:
    far = town.half_length + 400
    parts = [rectangle((-far, far), (-far, far), -0.03, GRASS, 12, GROUND)]
    outer, cross = town.half_main + PAVEMENT_M, town.half_cross + PAVEMENT_M
    parts.append(rectangle((-town.half_length, town.half_length), (-outer, outer), -0.02, PAVING, 25, GROUND))
    for arm, low, high in ((NORTH, 0.0, town.half_length), (SOUTH, -town.half_length, 0.0)):
        if arm in town.arms:
            parts.append(rectangle((-cross, cross), (low, high), -0.02, PAVING, 25, GROUND))
    for plot in town.plots:
        if plot.kind == "works":
            parts.append(rectangle(plot.x, plot.y, -0.01, EARTH, 15, GROUND))
    parts += [rectangle(x, y, 0.0, ASPHALT, 9, GROUND) for x, y in drivable(town)]
    return join([*parts, *_kerbs(town), *_markings(town)])


def _strip(arm: int, along: Span, beside: Span, height: float, colour: Colour, intensity: float) -> Mesh:
    """A rectangle, or a low box if it has a height, given by its extent along and to the left of an arm."""
    middle = (sum(along) / 2, sum(beside) / 2, max(height, 0.02) / 2 - 0.005)
    size = (along[1] - along[0], beside[1] - beside[0], max(height, 0.01))
    if height > 0:
        return box(size, middle, colour, intensity).moved(yaw=arm_yaw(arm))
    return rectangle(along, beside, 0.01, colour, intensity, PLAIN).moved(yaw=arm_yaw(arm))


def _kerbs(town: Town) -> list[Mesh]:
    kerbs = []
    for arm in town.arms:
        half = town.half_width(arm)
        start = town.setback(arm)
        for side in (1, -1):
            # the kerb runs on through the junction if no street leaves on its side
            opening = town.has_junction and (arm + side) % 4 in town.arms
            begin = start if opening else 0.0
            low, high = sorted((side * half, side * (half + 0.18)))
            kerbs.append(_strip(arm, (begin, town.half_length), (low, high), 0.09, street.CONCRETE, 35))
    return kerbs


def _markings(town: Town) -> list[Mesh]:
    marks = []
    for arm in town.arms:
        start, half, lanes = town.setback(arm), town.half_width(arm), town.arm_lanes(arm)
        start += 5.5 if town.has_junction else 0.0
        for side in (-0.12, 0.12):
            marks.append(_strip(arm, (start, town.half_length), (side - 0.05, side + 0.05), 0, YELLOW, 90))
        for side in (-1, 1):
            edge = side * (half - PARKING_M)
            marks.append(_strip(arm, (start, town.half_length), (edge - 0.05, edge + 0.05), 0, MARKING, 90))
            for lane in range(1, lanes):
                at = side * lane * LANE_M
                for x in np.arange(start, town.half_length, 8.0):
                    marks.append(_strip(arm, (x, x + 3.0), (at - 0.06, at + 0.06), 0, MARKING, 90))
        if town.has_junction:  # the stop line of the incoming side
            marks.append(_strip(arm, (start, start + 0.4), (0.2, half - PARKING_M), 0, MARKING, 90))
    for x in town.crossings:
        for y in np.arange(-town.half_main + 0.4, town.half_main - 0.4, 1.0):
            marks.append(rectangle((x - 1.4, x + 1.4), (y, y + 0.5), 0.01, MARKING, 90, PLAIN))
    return marks


def houses(rng: np.random.Generator, town: Town) -> Mesh:
    """Buildings on their plots, and walls behind some of the other plots."""
    parts = []
    for plot in town.plots:
        width, depth = plot.x[1] - plot.x[0], plot.y[1] - plot.y[0]
        x, y = sum(plot.x) / 2, sum(plot.y) / 2
        if plot.kind == "building":
            size = (width - rng.uniform(0.3, 2.5), depth - rng.uniform(0.5, 2.5))
            parts.append(street.building(rng, size).moved(x, y))
        elif rng.random() < 0.6:  # a wall at the back of the plot
            back = plot.y[0] if y < 0 else plot.y[1]
            parts.append(street.wall(rng, width - 1.0).moved(x, back))
    return join(parts)


def furniture(rng: np.random.Generator, town: Town) -> tuple[Mesh, Array]:
    """Street lamps, signs and traffic lights, with their footprints (x, y, yaw, size)."""
    pavement = pavement_places(rng, town)
    places = [(*place, LAMP) for place in lamp_places(town)]
    places += [(*place, SIGN) for place in rng.permutation(pavement)[: len(pavement) // PLACES_PER_SIGN]]
    for arm in town.arms if town.has_junction else ():
        places.append((*_signal_place(town, arm), SIGNAL))
    parts = [FURNITURE[int(kind)][0](rng).moved(x, y, 0.0, yaw) for x, y, yaw, kind in places]
    return join(parts), np.array([(x, y, yaw, FURNITURE[int(kind)][1]) for x, y, yaw, kind in places])


def lamp_places(town: Town) -> Array:
    """Places of street lamps at the kerbs, facing the street."""
    rows = []
    for arm in town.arms:
        distances = np.arange(town.setback(arm) + 6.0, town.half_length - 3.0, LAMP_SPACING_M)
        for step, distance in enumerate(distances):
            side = arm_yaw(arm) + np.pi * (step % 2)
            x, y = distance * arm_direction(arm) + right_of(side, town.half_width(arm) + 0.6)
            rows.append((x, y, side + np.pi / 2))
    return np.array(rows)


def _signal_place(town: Town, arm: int) -> tuple[float, float, float]:
    """Place to the right of the traffic arriving on an arm, facing it."""
    along, beside = town.setback(arm) + 0.8, town.half_width(arm) + 0.7
    x, y = along * arm_direction(arm) + right_of(arm_yaw(arm) + np.pi, beside)
    return float(x), float(y), arm_yaw(arm)
