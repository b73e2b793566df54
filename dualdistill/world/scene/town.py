"""Layout of a town: streets through the origin, the plots beside them, and the places and routes for traffic.

The main street runs along x, the cross street (if any) along y; traffic keeps right; metres.
Places are rows (x, y, yaw).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualdistill.world.geometry.motion import Path, polyline

Array = NDArray[np.float64]
LANE_M, PARKING_M, PAVEMENT_M = 3.5, 2.5, 3.6
FRONTAGE_M = 18.0  # depth of the plots between the pavement and the houses behind
EAST, NORTH, WEST, SOUTH = 0, 1, 2, 3  # arms of the junction, in quarter turns from +x


@dataclass(frozen=True)
class Plot:
    """A rectangle beside a street."""

    kind: str  # building | carpark | works (a building site) | park
    x: tuple[float, float]
    y: tuple[float, float]

    def random_places(self, rng: np.random.Generator, count: int, margin: float) -> Array:
        xs = rng.uniform(self.x[0] + margin, self.x[1] - margin, count)
        ys = rng.uniform(self.y[0] + margin, self.y[1] - margin, count)
        return np.stack([xs, ys, rng.uniform(-np.pi, np.pi, count)], 1)


@dataclass(frozen=True)
class Town:
    half_length: float  # of each street, from the origin
    lanes: int  # per direction of the main street; the cross street has one
    arms: tuple[int, ...]  # directions in which a street leaves the origin
    plots: tuple[Plot, ...]
    crossings: tuple[float, ...]  # x of zebra crossings over the main street

    @property
    def half_main(self) -> float:
        """Half the width of the main street, kerb to centre line."""
        return self.lanes * LANE_M + PARKING_M

    @property
    def half_cross(self) -> float:
        return LANE_M + PARKING_M

    @property
    def has_junction(self) -> bool:
        return len(self.arms) > 2

    def on_street(self, x: float, y: float) -> bool:
        """Whether a point lies between kerbs."""
        crosses = (NORTH if y > 0 else SOUTH) in self.arms
        return abs(y) < self.half_main or (crosses and abs(x) < self.half_cross)

    def half_width(self, arm: int) -> float:
        return self.half_main if arm in (EAST, WEST) else self.half_cross

    def setback(self, arm: int) -> float:
        """Distance from the origin at which an arm leaves the junction."""
        if not self.has_junction:
            return 0.0
        return self.half_cross if arm in (EAST, WEST) else self.half_main

    def plots_of(self, kind: str) -> list[Plot]:
        return [plot for plot in self.plots if plot.kind == kind]

    def arm_lanes(self, arm: int) -> int:
        return self.lanes if arm in (EAST, WEST) else 1


def draw_town(rng: np.random.Generator, half_length: float) -> Town:
    """A random layout: a straight street, a T-junction or a crossroads."""
    lanes = int(rng.choice([1, 2], p=[0.55, 0.45]))
    side = int(rng.choice([NORTH, SOUTH]))
    arms = [(EAST, WEST), (EAST, WEST, side), (EAST, WEST, NORTH, SOUTH)][rng.choice(3, p=[0.25, 0.25, 0.5])]
    streets = Town(half_length, lanes, arms, plots=(), crossings=())
    if streets.has_junction:
        crossings = [sign * (streets.half_cross + 2.5) for sign in (-1, 1) if rng.random() < 0.7]
    else:
        crossings = [float(rng.uniform(-15, 15))]
    plots = tuple(_plots(rng, streets))
    return Town(half_length, lanes, arms, plots, tuple(crossings))


def _plots(rng: np.random.Generator, town: Town) -> list[Plot]:
    """Plots of 14 to 32 m along both sides of the main street, each with a row of houses behind."""
    plots = []
    near = town.half_main + PAVEMENT_M
    for arm, side in ((NORTH, 1), (SOUTH, -1)):
        gap = town.half_cross + PAVEMENT_M if arm in town.arms else 0.0
        for start, stop in ((-town.half_length, -gap), (gap, town.half_length)):
            x = start
            while x < stop - 6:
                end = min(x + rng.uniform(14, 32), stop)
                end = stop if stop - end < 10 else end
                kind = str(rng.choice(["building", "carpark", "works", "park"], p=[0.4, 0.27, 0.13, 0.2]))
                plots.append(_plot(kind, (x, end), (near, near + FRONTAGE_M), side))
                back = near + FRONTAGE_M + rng.uniform(0, 3)
                plots.append(_plot("building", (x, end), (back, back + rng.uniform(8, 14)), side))
                x = end
        if arm in town.arms:  # houses line the cross street beyond
            for left in (-1, 1):
                at = near + FRONTAGE_M + 18
                while at < town.half_length:
                    edge = left * (town.half_cross + PAVEMENT_M)
                    near_x, far_x = sorted((edge, edge + left * rng.uniform(9, 16)))
                    plots.append(_plot("building", (near_x, far_x), (at, at + rng.uniform(12, 24)), side))
                    at += 26
    return plots


def _plot(kind: str, x: tuple[float, float], y: tuple[float, float], side: int) -> Plot:
    low, high = sorted((side * y[0], side * y[1]))
    return Plot(kind, x, (low, high))


def arm_yaw(arm: int) -> float:
    return arm * np.pi / 2


def arm_direction(arm: int) -> Array:
    """Unit vector from the origin along an arm."""
    return np.array([(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)][arm])


def right_of(yaw: float, distance: float) -> Array:
    """Offset by a distance to the right of a heading."""
    return distance * np.array([np.sin(yaw), -np.cos(yaw)])


def route(town: Town, start: int, end: int, lane: int, inset: float = 0.0) -> Path:
    """Path in on one arm and out on another; `lane` counts from the middle, `inset` shifts to the right."""
    offset_in = (min(lane, town.arm_lanes(start) - 1) + 0.5) * LANE_M + inset
    offset_out = (min(lane, town.arm_lanes(end) - 1) + 0.5) * LANE_M + inset
    ahead_in, ahead_out = arm_direction(start), arm_direction(end)
    aside_in, aside_out = right_of(arm_yaw(start) + np.pi, offset_in), right_of(arm_yaw(end), offset_out)
    far_in, far_out = town.half_length * ahead_in + aside_in, town.half_length * ahead_out + aside_out
    if (start - end) % 2 == 0:  # straight on
        return polyline([tuple(far_in), tuple(far_out)])
    enter = (town.setback(start) + 1.0) * ahead_in + aside_in
    leave = (town.setback(end) + 1.0) * ahead_out + aside_out
    corner = aside_in + aside_out
    share = np.linspace(0, 1, 24)[:, None]
    bend = (1 - share) ** 2 * enter + 2 * share * (1 - share) * corner + share**2 * leave
    return polyline([tuple(far_in), *map(tuple, bend), tuple(far_out)])


def routes(town: Town, inset: float = 0.0) -> list[tuple[Path, bool]]:
    """All routes through the town, each with whether it turns."""
    paths = []
    for start in town.arms:
        for end in town.arms:
            if start == end:
                continue
            turns = (start - end) % 2 == 1
            for lane in range(1 if turns else min(town.arm_lanes(start), town.arm_lanes(end))):
                turns_right = (end - start) % 4 == 1
                lane_in = town.lanes - 1 if turns_right else lane
                paths.append((route(town, start, end, lane_in, inset), turns))
    return paths


def kerb_places(town: Town, step: float = 6.5) -> Array:
    """Places along all kerbs, in the direction of travel, clear of the junction and of crossings."""
    rows = []
    for arm in town.arms:
        clear = town.setback(arm) + (10.0 if town.has_junction else 0.0)
        distance = np.arange(clear, town.half_length - 5, step)
        for yaw in (arm_yaw(arm), arm_yaw(arm) + np.pi):
            centre = distance[:, None] * arm_direction(arm) + right_of(
                yaw, town.half_width(arm) - PARKING_M / 2
            )
            rows.append(np.column_stack([centre, np.full(len(distance), yaw)]))
    places = np.concatenate(rows)
    for x in town.crossings:
        places = places[(np.abs(places[:, 0] - x) > 6) | (np.abs(places[:, 1]) > town.half_main)]
    return places


def pavement_places(rng: np.random.Generator, town: Town, step: float = 1.6) -> Array:
    """Places on the pavements, heading along the street in either direction."""
    rows = []
    for arm in town.arms:
        clear = town.setback(arm) + (PAVEMENT_M if town.has_junction else 0.0)
        distance = np.arange(clear, town.half_length - 5, step)
        for side in (arm_yaw(arm), arm_yaw(arm) + np.pi):
            depth = town.half_width(arm) + rng.uniform(0.7, PAVEMENT_M - 0.5, len(distance))
            yaw = arm_yaw(arm) + np.pi * rng.integers(0, 2, len(distance)) + rng.normal(0, 0.1, len(distance))
            centre = distance[:, None] * arm_direction(arm) + depth[:, None] * right_of(side, 1.0)
            rows.append(np.column_stack([centre, yaw]))
    return np.concatenate(rows)


def bay_places(plot: Plot) -> Array:
    """Two rows of parking bays at right angles to the street, with an aisle between them."""
    rows = []
    for depth, yaw in ((0.17, np.pi / 2), (0.80, -np.pi / 2)):
        xs = np.arange(plot.x[0] + 2.0, plot.x[1] - 2.0, 2.8)
        y = plot.y[0] + depth * (plot.y[1] - plot.y[0])
        rows.append(np.column_stack([xs, np.full(len(xs), y), np.full(len(xs), yaw)]))
    return np.concatenate(rows)
