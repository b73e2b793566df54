"""Motion on the ground plane: paths by arc length, speed profiles over time, and collisions of footprints.

Axes: T times, S knots of a speed profile, K points of a path, A footprints, Q pairs of footprints.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Path:
    """A polyline with a smoothly interpolated heading."""

    points_K2: Array
    distance_K: Array = field(init=False)
    yaw_K: Array = field(init=False)

    def __post_init__(self) -> None:
        steps = self.points_K2[1:] - self.points_K2[:-1]
        object.__setattr__(self, "distance_K", np.append(0.0, np.hypot(*steps.T).cumsum()))
        if len(steps) == 1:  # the fast case: every stationary object has such a path
            object.__setattr__(self, "yaw_K", np.full(2, np.arctan2(steps[0, 1], steps[0, 0])))
        else:
            slopes = np.gradient(self.points_K2, axis=0)
            object.__setattr__(self, "yaw_K", np.unwrap(np.arctan2(slopes[:, 1], slopes[:, 0])))

    @property
    def length(self) -> float:
        return float(self.distance_K[-1])

    def at(self, distance: Array) -> tuple[Array, Array]:
        """Positions and headings at distances along the path, which continues straight beyond its ends."""
        x = np.interp(distance, self.distance_K, self.points_K2[:, 0])
        y = np.interp(distance, self.distance_K, self.points_K2[:, 1])
        yaw = np.interp(distance, self.distance_K, self.yaw_K)
        beyond = distance - np.minimum(np.maximum(distance, 0.0), self.length)
        if beyond.any():
            x, y = x + beyond * np.cos(yaw), y + beyond * np.sin(yaw)
        return _stack_xy(x, y), yaw


@dataclass(frozen=True)
class Motion:
    """A path travelled with a speed profile; an object with zero speed throughout is stationary."""

    path: Path
    start_m: float  # distance along the path at t = 0
    times_S: Array  # knots of the speed, which is linear between them and constant outside
    speed_S: Array
    offset_m: float = 0.0  # from the point that follows the path ahead to the object's centre
    _at_knot_S: Array = field(init=False, repr=False)  # distance along the path at each knot
    _acceleration_S: Array = field(init=False, repr=False)  # after each knot

    def __post_init__(self) -> None:
        if len(self.times_S) == 1:
            accelerations, travelled = np.zeros(1), np.zeros(1)
        else:
            spans = self.times_S[1:] - self.times_S[:-1]
            steps = (self.speed_S[1:] + self.speed_S[:-1]) / 2 * spans
            accelerations = np.append((self.speed_S[1:] - self.speed_S[:-1]) / spans, 0.0)
            travelled = np.append(0.0, np.cumsum(steps))
        object.__setattr__(self, "_acceleration_S", accelerations)
        object.__setattr__(self, "_at_knot_S", travelled)
        object.__setattr__(self, "_at_knot_S", travelled + self.start_m - self.distance(np.zeros(1)))

    def distance(self, times_T: Array) -> Array:
        """Metres along the path: the start plus the exact integral of the piecewise linear speed."""
        if len(self.times_S) == 1:
            return self._at_knot_S + self.speed_S * (times_T - self.times_S)
        last_knot = np.searchsorted(self.times_S, times_T, side="right") - 1  # -1 before the first knot
        knot = np.maximum(last_knot, 0)
        since = times_T - self.times_S[knot]
        acceleration = np.where(last_knot >= 0, self._acceleration_S[knot], 0.0)
        return self._at_knot_S[knot] + (self.speed_S[knot] + acceleration / 2 * since) * since

    def at(self, times_T: Array | list[float]) -> tuple[Array, Array]:
        """Centre positions [T, 2] and headings [T] at times in seconds."""
        xy, yaw = self.path.at(self.distance(np.asarray(times_T, dtype=float)))
        if self.offset_m:
            xy = xy + self.offset_m * _stack_xy(np.cos(yaw), np.sin(yaw))
        return xy, yaw

    @property
    def moves(self) -> bool:
        return bool(np.any(self.speed_S > 0))


def _stack_xy(x_T: Array, y_T: Array) -> Array:
    """Equivalent of np.stack([x, y], 1), which is slow for a few numbers."""
    xy_T2 = np.empty((len(x_T), 2))
    xy_T2[:, 0], xy_T2[:, 1] = x_T, y_T
    return xy_T2


def stationary(x: float, y: float, yaw: float) -> Motion:
    ahead = (x + np.cos(yaw), y + np.sin(yaw))
    return Motion(Path(np.array([(x, y), ahead])), 0.0, np.zeros(1), np.zeros(1))


def constant_speed(path: Path, start_m: float, speed: float) -> Motion:
    return Motion(path, start_m, np.zeros(1), np.array([speed]))


def polyline(corners: list[tuple[float, float]], step_m: float = 0.5) -> Path:
    """Straight segments through the corners, resampled in even steps."""
    corners_C2 = np.array(corners, dtype=float)
    distance_C = np.r_[0.0, np.cumsum(np.hypot(*np.diff(corners_C2, axis=0).T))]
    even_K = np.linspace(0.0, distance_C[-1], max(2, int(distance_C[-1] / step_m) + 1))
    x, y = (np.interp(even_K, distance_C, corners_C2[:, axis]) for axis in (0, 1))
    return Path(np.stack([x, y], -1))


@dataclass
class Occupancy:
    """Footprints placed so far, over time; a new footprint must not overlap any of them at any time."""

    times_T: Array
    centres_AT2: Array = field(init=False)
    yaws_AT: Array = field(init=False)
    half_sizes_A2: Array = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.times_T)
        self.centres_AT2, self.yaws_AT = np.zeros((0, count, 2)), np.zeros((0, count))
        self.half_sizes_A2 = np.zeros((0, 2))

    def is_free(self, motion: Motion, length: float, width: float, margin: float = 0.3) -> bool:
        centre_T2, yaw_T = motion.at(self.times_T)
        half_2 = np.array([length, width]) / 2 + margin
        radii_A = np.hypot(*half_2) + np.hypot(*self.half_sizes_A2.T)
        distance_AT = np.linalg.norm(self.centres_AT2 - centre_T2, axis=-1)
        other, when = np.nonzero(distance_AT < radii_A[:, None])
        if len(other) == 0:
            return True
        gap_Q2 = self.centres_AT2[other, when] - centre_T2[when]
        yaws_Q, half_sizes_Q2 = self.yaws_AT[other, when], self.half_sizes_A2[other]
        return not np.any(_overlap(gap_Q2, yaw_T[when], half_2, yaws_Q, half_sizes_Q2))

    def add(self, motion: Motion, length: float, width: float) -> None:
        centre_T2, yaw_T = motion.at(self.times_T)
        self.centres_AT2 = np.concatenate([self.centres_AT2, centre_T2[None]])
        self.yaws_AT = np.concatenate([self.yaws_AT, yaw_T[None]])
        self.half_sizes_A2 = np.concatenate([self.half_sizes_A2, np.array([[length, width]]) / 2])


def _overlap(
    gap_Q2: Array, yaw_Q: Array, half_2: Array, other_yaw_Q: Array, other_half_Q2: Array
) -> NDArray[np.bool_]:
    """Separating-axis test of two oriented rectangles, for Q pairs at once."""
    relative_yaw_Q = other_yaw_Q - yaw_Q
    cosine, sine = np.abs(np.cos(relative_yaw_Q)), np.abs(np.sin(relative_yaw_Q))
    length, width = other_half_Q2.T
    overlap_Q = np.ones(len(gap_Q2), dtype=bool)
    for yaw, this, other in (
        (yaw_Q, half_2[:, None], (length, width)),
        (other_yaw_Q, (length, width), half_2[:, None]),
    ):
        ahead = np.abs(gap_Q2[:, 0] * np.cos(yaw) + gap_Q2[:, 1] * np.sin(yaw))
        aside = np.abs(gap_Q2[:, 1] * np.cos(yaw) - gap_Q2[:, 0] * np.sin(yaw))
        overlap_Q &= ahead < this[0] + cosine * other[0] + sine * other[1]
        overlap_Q &= aside < this[1] + sine * other[0] + cosine * other[1]
    return overlap_Q
