"""The ego's drive, and a placer that puts actors near it without collisions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dualdistill.world.geometry.mesh import Mesh
from dualdistill.world.geometry.motion import Array, Motion, Occupancy, stationary
from dualdistill.world.objects.assets import Asset
from dualdistill.world.scene.town import (
    EAST,
    WEST,
    Town,
    bay_places,
    kerb_places,
    pavement_places,
    route,
    routes,
)

EGO_LENGTH_M, EGO_WIDTH_M, EGO_AHEAD_M = 4.3, 1.9, 1.3  # the ego frame sits at the rear axle
MOVING_MPS = 0.2  # from this speed on, an object's attribute is "moving"
HISTORY_S = 0.5  # recorded before the first key frame


@dataclass(frozen=True)
class Actor:
    asset: Asset
    motion: Motion
    at_rest: str  # attribute while stationary, "" for classes without attributes

    def attributes(self, time: float) -> list[str]:
        """The nuScenes attributes at a time: one, or none for classes without attributes."""
        if not self.at_rest or self.at_rest.startswith("cycle"):
            return [self.at_rest] if self.at_rest else []
        travelled = float(np.diff(self.motion.distance(np.array([time - 0.1, time + 0.1])))[0])
        moves = travelled / 0.2 > MOVING_MPS
        return [self.at_rest.split(".")[0] + ".moving" if moves else self.at_rest]


@dataclass(frozen=True)
class Drive:
    """The ego's motion and its duration."""

    motion: Motion
    seconds: float

    def xy(self, times_T: Array) -> Array:
        return self.motion.at(times_T)[0]


def ego_drive(rng: np.random.Generator, town: Town, seconds: float) -> Drive:
    """Draw a drive: cruise, turn, stop at the junction and start again, or start from a queue."""
    behaviours = ["cruise", "stop", "queue"] + (["turn"] if town.has_junction else [])
    behaviour = str(
        rng.choice(behaviours, p=[0.65, 0.22, 0.13] if len(behaviours) == 3 else [0.45, 0.2, 0.1, 0.25])
    )
    start = int(rng.choice([EAST, WEST]))
    if behaviour == "turn":
        start = int(rng.choice(town.arms))
        sides = [arm for arm in town.arms if (arm - start) % 2 == 1]
        path = route(town, start, int(rng.choice(sides)), 0)
        speed = rng.uniform(3.0, 4.5)
        times, speeds = np.zeros(1), np.array([speed])
    else:
        path = route(town, start, (start + 2) % 4, int(rng.integers(town.lanes)))
        speed = rng.uniform(4.0, 10.0)
        halt = rng.uniform(0.2, 0.6) * seconds
        times, speeds = {
            "cruise": (np.array([0.0, seconds]), speed * np.array([1.0, rng.uniform(0.7, 1.2)])),
            "stop": (
                np.array([halt - 2.5, halt, halt + 1.5, halt + 4.5]),
                np.array([speed, 0, 0, 0.7 * speed]),
            ),
            "queue": (np.array([0.0, halt, halt + 3.0]), np.array([0.0, 0.0, 0.4 * speed])),
        }[behaviour]
    middle = town.half_length - float(Motion(path, 0.0, times, speeds).distance(np.array([seconds / 2]))[0])
    offset = rng.normal(0.0, 4.0) if behaviour == "turn" else rng.normal(-8.0, 10.0)
    return Drive(Motion(path, middle + offset, times, speeds), seconds)


class Placer:
    """Random places for actors, and the actors added there because they collide with nothing."""

    def __init__(
        self, rng: np.random.Generator, town: Town, drive: Drive, obstacles_K4: Array, radius: float
    ) -> None:
        self.rng, self.town, self.drive, self.radius = rng, town, drive, radius
        self.occupied = Occupancy(np.arange(-HISTORY_S - 0.25, drive.seconds + 0.5, 0.25))
        for x, y, yaw, size in obstacles_K4:
            self.occupied.add(stationary(x, y, yaw), size, size)
        self.occupied.add(replace(drive.motion, offset_m=EGO_AHEAD_M), EGO_LENGTH_M + 0.6, EGO_WIDTH_M + 0.4)
        self.closest_share = 1.0  # of the places to draw from, closest to the ego's drive first
        self.actors: list[Actor] = []
        self.occluders: list[Mesh] = []
        self.drafts: dict[str, Asset] = {}
        self.routes, self.cycle_routes = routes(town), routes(town, inset=1.2)
        self.ego_xy = drive.xy(np.linspace(0.0, drive.seconds, 12))
        places = {
            "kerb": [kerb_places(town)],
            "pavement": [pavement_places(rng, town)],
            "bay": [bay_places(plot) for plot in town.plots_of("carpark")],
            "yard": [plot.random_places(rng, 40, 2.5) for plot in town.plots_of("works")],
            "park": [plot.random_places(rng, 20, 1.0) for plot in town.plots_of("park")],
        }
        none = np.zeros((0, 3))
        self.places = {
            kind: self._within_radius(np.concatenate([none, *rows])) for kind, rows in places.items()
        }

    @property
    def corridor_m(self) -> float:
        """Length of the street within the annotated radius during the drive."""
        return float(np.linalg.norm(np.diff(self.ego_xy, axis=0), axis=1).sum()) + 2 * self.radius

    def _within_radius(self, places: Array) -> Array:
        """Places that come within the annotated radius, closest to the drive first."""
        gaps = np.linalg.norm(places[:, None, :2] - self.ego_xy, axis=-1).min(1)
        order = np.argsort(gaps, kind="stable")
        return places[order[: int((gaps < 0.92 * self.radius).sum())]]

    def count(self, name: str) -> int:
        return sum(actor.asset.name == name for actor in self.actors)

    def draft(self, style: str, build: Callable[[], Asset]) -> Asset:
        """Build an asset, or reuse the last one of its style that could not be placed: building is slow."""
        if style not in self.drafts:
            self.drafts[style] = build()
        return self.drafts[style]

    def place(self, asset: Asset, motion: Motion, at_rest: str, margin: float = 0.3) -> bool:
        """Add an actor if it collides with nothing; return whether it was added."""
        if not self.fits(asset, motion, margin):
            return False
        self._add(asset, motion, at_rest)
        return True

    def fits(self, asset: Asset, motion: Motion, margin: float) -> bool:
        return self.occupied.is_free(motion, asset.size_lwh[0], asset.size_lwh[1], margin)

    def _add(self, asset: Asset, motion: Motion, at_rest: str) -> None:
        self.occupied.add(motion, asset.size_lwh[0], asset.size_lwh[1])
        self.actors.append(Actor(asset, motion, at_rest))
        self.drafts = {style: draft for style, draft in self.drafts.items() if draft is not asset}

    def draw_place(self, kind: str) -> tuple[float, float, float] | None:
        choices = self.places[kind]
        if len(choices) == 0:
            return None
        x, y, yaw = choices[self.rng.integers(max(1, int(len(choices) * self.closest_share)))]
        return float(x), float(y), float(yaw)

    def park(self, asset: Asset, kinds: tuple[str, ...], at_rest: str, jitter: float = 0.04) -> bool:
        place = self.draw_place(str(self.rng.choice(kinds)))
        if place is None:
            return False
        x, y, yaw = place
        if kinds != ("pavement",) and self.rng.random() < 0.1:
            yaw += np.pi  # parked the other way round
        x, y = x + self.rng.normal(0, 0.15), y + self.rng.normal(0, 0.15)
        return self.place(asset, stationary(x, y, yaw + self.rng.normal(0, jitter)), at_rest, margin=0.15)

    def place_on_lane(
        self, asset: Asset, at_rest: str, *, cycle: bool = False, behind: Asset | None = None
    ) -> bool:
        """Put an asset on a lane, timed to come close to the ego; `behind` is a trailer that it tows."""
        choices = self.cycle_routes if cycle else self.routes
        path, turns = choices[self.rng.integers(len(choices))]
        speed = self.rng.uniform(2.5, 4.5) if turns or cycle else self.rng.uniform(3.5, 11.0)
        times, speeds = np.zeros(1), np.array([speed])
        if not cycle and self.rng.random() < 0.2:  # waiting in a queue, or about to start
            times = np.array([0.0, self.rng.uniform(0.3, 2.0) * self.drive.seconds, 60.0])
            speeds = np.array([0.0, 0.0, 4.0])
        when = float(self.rng.uniform(0.0, self.drive.seconds))
        ego = self.drive.xy(np.array([when]))
        close = np.linalg.norm(path.points_K2 - ego, axis=1) < 0.9 * self.closest_share * self.radius
        if not close.any():
            return False
        meet = float(self.rng.choice(path.distance_K[close]))
        start = meet - float(Motion(path, 0.0, times, speeds).distance(np.array([when]))[0])
        motion = Motion(path, start, times, speeds)
        if behind is None:
            return self.place(asset, motion, at_rest, margin=0.5)
        gap = (asset.size_lwh[0] + behind.size_lwh[0]) / 2 - 1.2  # the trailer rests on the tractor's rear
        towed = Motion(path, start - gap, times, speeds)
        if not (self.fits(asset, motion, 0.5) and self.fits(behind, towed, 0.5)):
            return False
        self._add(asset, motion, at_rest)
        self._add(behind, towed, at_rest)
        return True
