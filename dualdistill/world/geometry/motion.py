"""Where things are at any time: paths by arc length, speeds by time, and which footprints would collide.

Everything here is on the ground plane. Axes: T times, A footprints, 2 coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Path:
    """A polyline with a heading that turns smoothly."""

    points_K2: Array
    distance_K: Array = field(init=False)
    yaw_K: Array = field(init=False)

    def __post_init__(self) -> None:
        steps = self.points_K2[1:] - self.points_K2[:-1]
        object.__setattr__(self, "distance_K", np.append(0.0, np.hypot(*steps.T).cumsum()))
        if len(steps) == 1:  # thousands of them, for all that stands
            object.__setattr__(self, "yaw_K", np.full(2, np.arctan2(steps[0, 1], steps[0, 0])))
        else:
            slopes = np.gradient(self.points_K2, axis=0)
            object.__setattr__(self, "yaw_K", np.unwrap(np.arctan2(slopes[:, 1], slopes[:, 0])))

    @property
    def length(self) -> float:
        return float(self.distance_K[-1])

    def at(self, distance: Array) -> tuple[Array, Array]:
        """Positions and headings; before and after its ends the path goes straight on."""
        x = np.interp(distance, self.distance_K, self.points_K2[:, 0])
        y = np.interp(distance, self.distance_K, self.points_K2[:, 1])
        yaw = np.interp(distance, self.distance_K, self.yaw_K)
        beyond = distance - np.minimum(np.maximum(distance, 0.0), self.length)
        if beyond.any():
            x, y = x + beyond * np.cos(yaw), y + beyond * np.sin(yaw)
        return _pairs(x, y), yaw


@dataclass(frozen=True)
class Motion:
    """A path travelled with a given speed over time, or a place kept (speed 0 everywhere)."""

    path: Path
    start_m: float  # where on the path it is at t = 0
    times_S: Array  # knots of the speed; it is linear between them and constant outside
    speed_S: Array
    offset_m: float = 0.0  # the object's centre ahead of the point that follows the path
    _at_knot_S: Array = field(init=False, repr=False)  # metres at each knot
    _slope_S: Array = field(init=False, repr=False)  # acceleration after each knot

    def __post_init__(self) -> None:
        if len(self.times_S) == 1:
            slopes, passed = np.zeros(1), np.zeros(1)
        else:
            spans = self.times_S[1:] - self.times_S[:-1]
            steps = (self.speed_S[1:] + self.speed_S[:-1]) / 2 * spans
            slopes = np.append((self.speed_S[1:] - self.speed_S[:-1]) / spans, 0.0)
            passed = np.append(0.0, np.cumsum(steps))
        object.__setattr__(self, "_slope_S", slopes)
        object.__setattr__(self, "_at_knot_S", passed)
        object.__setattr__(self, "_at_knot_S", passed + self.start_m - self.distance(np.zeros(1)))

    def distance(self, times_T: Array) -> Array:
        """Metres along the path: the start plus the integral of the speed, exact piece by piece."""
        if len(self.times_S) == 1:
            return self._at_knot_S + self.speed_S * (times_T - self.times_S)
        after = np.searchsorted(self.times_S, times_T, side="right") - 1
        knot = np.maximum(after, 0)
        since = times_T - self.times_S[knot]
        slope = np.where(after >= 0, self._slope_S[knot], 0.0)
        return self._at_knot_S[knot] + (self.speed_S[knot] + slope / 2 * since) * since

    def at(self, times_T: Array | list[float]) -> tuple[Array, Array]:
        """Centre positions [T, 2] and headings [T] at times in seconds."""
        xy, yaw = self.path.at(self.distance(np.asarray(times_T, dtype=float)))
        if self.offset_m:
            xy = xy + self.offset_m * _pairs(np.cos(yaw), np.sin(yaw))
        return xy, yaw

    @property
    def moves(self) -> bool:
        return bool(np.any(self.speed_S > 0))


def _pairs(x_T: Array, y_T: Array) -> Array:
    """As np.stack, which is slow on a few numbers."""
    found = np.empty((len(x_T), 2))
    found[:, 0], found[:, 1] = x_T, y_T
    return found


def still(x: float, y: float, yaw: float) -> Motion:
    ahead = (x + np.cos(yaw), y + np.sin(yaw))
    return Motion(Path(np.array([(x, y), ahead])), 0.0, np.zeros(1), np.zeros(1))


def steady(path: Path, start_m: float, speed: float) -> Motion:
    return Motion(path, start_m, np.zeros(1), np.array([speed]))


def polyline(corners: list[tuple[float, float]], step_m: float = 0.5) -> Path:
    """Straight pieces through the corners, in even steps."""
    given = np.array(corners, dtype=float)
    along = np.r_[0.0, np.cumsum(np.hypot(*np.diff(given, axis=0).T))]
    even = np.linspace(0.0, along[-1], max(2, int(along[-1] / step_m) + 1))
    return Path(np.stack([np.interp(even, along, given[:, 0]), np.interp(even, along, given[:, 1])], -1))


@dataclass
class Occupancy:
    """The footprints already placed, over time; a newcomer may not touch one of them at any time."""

    times_T: Array
    centres_AT2: Array = field(init=False)
    yaws_AT: Array = field(init=False)
    halves_A2: Array = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.times_T)
        self.centres_AT2, self.yaws_AT, self.halves_A2 = (
            np.zeros((0, count, 2)),
            np.zeros((0, count)),
            np.zeros((0, 2)),
        )

    def free(self, motion: Motion, length: float, width: float, margin: float = 0.3) -> bool:
        centre_T2, yaw_T = motion.at(self.times_T)
        half = np.array([length, width]) / 2 + margin
        reach = np.hypot(*half) + np.hypot(*self.halves_A2.T)
        apart = np.linalg.norm(self.centres_AT2 - centre_T2, axis=-1)
        who, when = np.nonzero(apart < reach[:, None])
        if len(who) == 0:
            return True
        gap = self.centres_AT2[who, when] - centre_T2[when]
        return not np.any(_overlap(gap, yaw_T[when], half, self.yaws_AT[who, when], self.halves_A2[who]))

    def add(self, motion: Motion, length: float, width: float) -> None:
        centre_T2, yaw_T = motion.at(self.times_T)
        self.centres_AT2 = np.concatenate([self.centres_AT2, centre_T2[None]])
        self.yaws_AT = np.concatenate([self.yaws_AT, yaw_T[None]])
        self.halves_A2 = np.concatenate([self.halves_A2, np.array([[length, width]]) / 2])


def _overlap(
    gap_Q2: Array, yaw_Q: Array, half_2: Array, other_yaw_Q: Array, other_half_Q2: Array
) -> NDArray[np.bool_]:
    """Separating axes of two oriented rectangles, for Q pairs at once."""
    turned = other_yaw_Q - yaw_Q
    cosine, sine = np.abs(np.cos(turned)), np.abs(np.sin(turned))
    length, width = other_half_Q2.T
    hit = np.ones(len(gap_Q2), dtype=bool)
    for yaw, own, other in (
        (yaw_Q, half_2[:, None], (length, width)),
        (other_yaw_Q, (length, width), half_2[:, None]),
    ):
        ahead = np.abs(gap_Q2[:, 0] * np.cos(yaw) + gap_Q2[:, 1] * np.sin(yaw))
        aside = np.abs(gap_Q2[:, 1] * np.cos(yaw) - gap_Q2[:, 0] * np.sin(yaw))
        hit &= ahead < own[0] + cosine * other[0] + sine * other[1]
        hit &= aside < own[1] + sine * other[0] + cosine * other[1]
    return hit
