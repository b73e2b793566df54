"""Who is in the town: the ego car's drive first, then works, vehicles, cycles and people, none of them touching.

Actors are placed where the ego passes within the LiDAR's reach, in numbers that grow with the length of the drive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualdistill.world import assets, street
from dualdistill.world.assets import Asset
from dualdistill.world.motion import Array, Motion, Occupancy, polyline, steady, still
from dualdistill.world.town import (
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
HISTORY_S = 0.5  # sensors run this long before the first key frame
# Objects per 80 m of corridor; shaped like nuScenes, with its rare classes raised so that all can be learned.
PER_80_M = {
    "construction_vehicle": 1.5,
    "bus": 1.4,
    "trailer": 1.4,
    "truck": 2.3,
    "car": 11.0,
    "motorcycle": 1.9,
    "bicycle": 2.0,
    "barrier": 5.0,
    "traffic_cone": 5.5,
    "pedestrian": 7.5,
}
TRIES = 40


@dataclass(frozen=True)
class Actor:
    asset: Asset
    motion: Motion
    at_rest: str  # attribute while it does not move, "" for classes without attributes


@dataclass(frozen=True)
class Drive:
    """The ego's motion and how long it lasts."""

    motion: Motion
    seconds: float

    def xy(self, times_T: Array) -> Array:
        return self.motion.at(times_T)[0]


def ego_drive(rng: np.random.Generator, town: Town, seconds: float) -> Drive:
    """Cruise, turn, brake for the junction and start again, or wait in a queue."""
    behaviours = ["cruise", "stop", "queue"] + (["turn"] if town.has_junction else [])
    behaviour = str(
        rng.choice(behaviours, p=[0.5, 0.3, 0.2] if len(behaviours) == 3 else [0.35, 0.25, 0.15, 0.25])
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
    middle = town.reach - float(Motion(path, 0.0, times, speeds).distance(np.array([seconds / 2]))[0])
    near = rng.normal(0.0, 4.0) if behaviour == "turn" else rng.normal(-8.0, 10.0)
    return Drive(Motion(path, middle + near, times, speeds), seconds)


class Placer:
    """Draws places for actors and keeps those that touch nothing."""

    def __init__(
        self, rng: np.random.Generator, town: Town, drive: Drive, occupied: Occupancy, radius: float
    ) -> None:
        self.rng, self.town, self.drive, self.occupied, self.radius = rng, town, drive, occupied, radius
        self.actors: list[Actor] = []
        self.routes, self.cycle_routes = routes(town), routes(town, inset=1.2)
        self.seen_xy = drive.xy(np.linspace(0.0, drive.seconds, 12))
        pavement = pavement_places(rng, town)
        bays = [bay_places(plot) for plot in town.plots if plot.kind == "carpark"]
        yards = [plot.inside(rng, 40, 2.5) for plot in town.plots if plot.kind == "works"]
        parks = [plot.inside(rng, 20, 1.0) for plot in town.plots if plot.kind == "park"]
        self.places = {
            "kerb": self._near(kerb_places(town)),
            "pavement": self._near(pavement),
            "bay": self._near(np.concatenate([*bays, np.zeros((0, 3))])),
            "yard": self._near(np.concatenate([*yards, np.zeros((0, 3))])),
            "park": self._near(np.concatenate([*parks, np.zeros((0, 3))])),
        }

    def _near(self, places: Array) -> Array:
        gaps = np.linalg.norm(places[:, None, :2] - self.seen_xy, axis=-1)
        return places[gaps.min(1) < 0.92 * self.radius]

    def count(self, name: str) -> int:
        return sum(actor.asset.name == name for actor in self.actors)

    def put(self, asset: Asset, motion: Motion, at_rest: str, margin: float = 0.3) -> bool:
        length, width, _ = asset.size_lwh
        if not self.occupied.free(motion, length, width, margin):
            return False
        self.occupied.add(motion, length, width)
        self.actors.append(Actor(asset, motion, at_rest))
        return True

    def spot(self, kind: str) -> tuple[float, float, float] | None:
        choices = self.places[kind]
        if len(choices) == 0:
            return None
        x, y, yaw = choices[self.rng.integers(len(choices))]
        return float(x), float(y), float(yaw)

    def park(self, asset: Asset, kinds: tuple[str, ...], at_rest: str, jitter: float = 0.04) -> bool:
        place = self.spot(str(self.rng.choice(kinds)))
        if place is None:
            return False
        x, y, yaw = place
        if kinds != ("pavement",) and self.rng.random() < 0.1:
            yaw += np.pi  # somebody parked the other way round
        x, y = x + self.rng.normal(0, 0.15), y + self.rng.normal(0, 0.15)
        return self.put(asset, still(x, y, yaw + self.rng.normal(0, jitter)), at_rest, margin=0.15)

    def travel(self, asset: Asset, at_rest: str, *, cycle: bool = False, behind: Asset | None = None) -> bool:
        """On a lane, so timed that the ego meets it; `behind` is towed."""
        path, turns = (self.cycle_routes if cycle else self.routes)[
            self.rng.integers(len(self.cycle_routes if cycle else self.routes))
        ]
        speed = self.rng.uniform(2.5, 4.5) if turns or cycle else self.rng.uniform(3.5, 11.0)
        times, speeds = np.zeros(1), np.array([speed])
        if not cycle and self.rng.random() < 0.3:  # queueing, or about to start
            times = np.array([0.0, self.rng.uniform(0.3, 2.0) * self.drive.seconds, 60.0])
            speeds = np.array([0.0, 0.0, 4.0])
        when = float(self.rng.uniform(0.0, self.drive.seconds))
        ego = self.drive.xy(np.array([when]))
        close = np.linalg.norm(path.points_K2 - ego, axis=1) < 0.9 * self.radius
        if not close.any():
            return False
        meet = float(self.rng.choice(path.distance_K[close]))
        start = meet - float(Motion(path, 0.0, times, speeds).distance(np.array([when]))[0])
        motion = Motion(path, start, times, speeds)
        if behind is None:
            return self.put(asset, motion, at_rest, margin=0.5)
        gap = (asset.size_lwh[0] + behind.size_lwh[0]) / 2 - 1.2  # the trailer rests on the tractor's rear
        towed = Motion(path, start - gap, times, speeds)
        length, width, _ = behind.size_lwh
        if not self.occupied.free(towed, length, width, 0.5) or not self.put(
            asset, motion, at_rest, margin=0.5
        ):
            return False
        self.occupied.add(towed, length, width)
        self.actors.append(Actor(behind, towed, at_rest))
        return True


def populate(
    rng: np.random.Generator, town: Town, drive: Drive, occupied: Occupancy, radius: float, density: float
) -> list[Actor]:
    """Everything that is annotated; at least one of each class wherever there is room."""
    placer = Placer(rng, town, drive, occupied, radius)
    travelled = float(np.linalg.norm(np.diff(placer.seen_xy, axis=0), axis=1).sum())
    scale = density * (travelled + 2 * radius) / 80.0
    wanted = {name: max(1, int(share * scale + rng.uniform())) for name, share in PER_80_M.items()}
    _works(placer, wanted)
    for name, number in wanted.items():
        for _ in range(TRIES * number):
            if placer.count(name) >= number:
                break
            ADD[name](placer)
    return placer.actors


def _works(placer: Placer, wanted: dict[str, int]) -> None:
    """A closed strip along the kerb: a machine, a row of barriers towards the traffic, cones before it, a worker."""
    rng, reach = placer.rng, placer.occupied
    for _ in range(TRIES):
        place = placer.spot("kerb")
        if place is None:
            return
        machine = assets.vehicle(rng, "construction_vehicle")
        length, width, _ = machine.size_lwh
        if not reach.free(still(*place), length + 6.0, width + 1.2, 0.2):
            continue
        x, y, yaw = place
        along, left = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
        placer.put(machine, still(x, y, yaw + (np.pi if rng.random() < 0.3 else 0.0)), "vehicle.parked", 0.0)
        style, edge = street.barrier_style(rng), width / 2 + 0.55
        for step in np.arange(-(length / 2), length / 2 + 1.0, 2.25)[: wanted["barrier"]]:
            at = np.array([x, y]) + step * along + edge * left
            placer.put(assets.barrier(rng, style), still(at[0], at[1], yaw + np.pi / 2), "", 0.0)
        for step in range(min(3, wanted["traffic_cone"])):
            at = np.array([x, y]) - (length / 2 + 1.6 + 1.7 * step) * along + (edge - 0.8 * step) * left
            placer.put(assets.traffic_cone(rng), still(at[0], at[1], yaw), "", 0.0)
        at = np.array([x, y]) - (length / 2 + 1.4) * along
        worker = assets.pedestrian(rng, "standing", worker=True)
        placer.put(worker, still(at[0], at[1], float(rng.uniform(-np.pi, np.pi))), "pedestrian.standing", 0.0)
        return


def _add_vehicle(placer: Placer, name: str, lane_share: float, kinds: tuple[str, ...]) -> None:
    asset = assets.vehicle(placer.rng, name)
    if placer.rng.random() < lane_share:
        placer.travel(asset, "vehicle.stopped")
    else:
        placer.park(asset, kinds, "vehicle.parked")


def _add_trailer(placer: Placer) -> None:
    trailer = assets.vehicle(placer.rng, "trailer")
    if placer.rng.random() < 0.4:
        tractor = assets.tractor(placer.rng)
        placer.travel(tractor, "vehicle.stopped", behind=trailer)
    else:
        placer.park(trailer, ("kerb", "kerb", "yard"), "vehicle.parked")


def _add_cycle(placer: Placer, name: str) -> None:
    if placer.rng.random() < 0.55:
        placer.travel(assets.cycle(placer.rng, name, True), "cycle.with_rider", cycle=True)
    else:
        kinds = ("kerb", "pavement", "bay") if name == "motorcycle" else ("pavement", "pavement", "park")
        placer.park(assets.cycle(placer.rng, name, False), kinds, "cycle.without_rider", jitter=0.5)


def _add_barriers(placer: Placer) -> None:
    """A row, along the edge of the pavement or across a yard."""
    rng = placer.rng
    place = placer.spot(str(rng.choice(["kerb", "kerb", "pavement", "yard"])))
    if place is None:
        return
    x, y, yaw = place
    style = street.barrier_style(rng)
    for step in range(int(rng.integers(2, 5))):
        barrier = assets.barrier(rng, style)
        shift = step * (barrier.size_lwh[1] + rng.uniform(0.05, 0.4))
        heading = yaw + np.pi / 2 + rng.normal(0, 0.06)
        placer.put(barrier, still(x + shift * np.cos(yaw), y + shift * np.sin(yaw), heading), "", 0.02)


def _add_cones(placer: Placer) -> None:
    rng = placer.rng
    place = placer.spot(str(rng.choice(["kerb", "kerb", "pavement", "yard", "bay"])))
    if place is None:
        return
    x, y, yaw = place
    gap, drift = rng.uniform(1.2, 2.6), rng.uniform(-0.2, 0.2)
    for step in range(int(rng.integers(1, 5))):
        at = (x + step * gap * np.cos(yaw + drift), y + step * gap * np.sin(yaw + drift))
        placer.put(assets.traffic_cone(rng), still(at[0], at[1], float(rng.uniform(-np.pi, np.pi))), "", 0.1)


def _add_pedestrians(placer: Placer) -> None:
    rng = placer.rng
    choice = rng.random()
    if choice < 0.14:
        _add_crossing(placer)
        return
    place = placer.spot("pavement" if rng.random() < 0.8 else "park")
    if place is None:
        return
    x, y, yaw = place
    if choice < 0.62:  # walking, alone or together; some turn a corner
        bend = yaw + rng.choice([0.0, 0.0, 0.6, -0.6])
        speed = rng.uniform(0.8, 1.7)
        for _ in range(int(rng.choice([1, 2], p=[0.7, 0.3]))):
            path = polyline(
                [
                    (x, y),
                    (x + 3 * np.cos(yaw), y + 3 * np.sin(yaw)),
                    (x + 3 * np.cos(yaw) + 30 * np.cos(bend), y + 3 * np.sin(yaw) + 30 * np.sin(bend)),
                ]
            )
            walker = assets.pedestrian(rng, "moving")
            placer.put(walker, steady(path, rng.uniform(0, 1), speed), "pedestrian.standing", 0.1)
            x, y = x - 0.8 * np.sin(yaw), y + 0.8 * np.cos(yaw)
    else:  # standing about, facing each other; a few sit
        posture = "sitting" if rng.random() < 0.2 else "standing"
        attribute = "pedestrian.sitting_lying_down" if posture == "sitting" else "pedestrian.standing"
        for _ in range(int(rng.integers(1, 4))):
            turned = float(rng.uniform(-np.pi, np.pi))
            at = (x - 0.7 * np.cos(turned), y - 0.7 * np.sin(turned))
            worker = posture == "standing" and rng.random() < 0.08
            placer.put(
                assets.pedestrian(rng, posture, worker=worker), still(at[0], at[1], turned), attribute, 0.05
            )


def _add_crossing(placer: Placer) -> None:
    """Over the main street, on a zebra if there is one."""
    rng, town = placer.rng, placer.town
    x = float(rng.choice([*town.crossings, placer.seen_xy[-1, 0] + rng.uniform(-15, 15)])) + rng.uniform(
        -1, 1
    )
    side, speed = rng.choice([-1, 1]), rng.uniform(0.9, 1.7)
    edge = town.half_main + 2.0
    path = polyline([(x, -side * edge), (x + rng.uniform(-1, 1), side * edge)])
    when = rng.uniform(0, placer.drive.seconds)
    start = rng.uniform(0, path.length) - when * speed
    placer.put(assets.pedestrian(rng, "moving"), steady(path, start, speed), "pedestrian.standing", 0.1)


ADD = {
    "construction_vehicle": lambda placer: _add_vehicle(
        placer, "construction_vehicle", 0.12, ("yard", "kerb")
    ),
    "bus": lambda placer: _add_vehicle(placer, "bus", 0.6, ("kerb",)),
    "trailer": _add_trailer,
    "truck": lambda placer: _add_vehicle(placer, "truck", 0.5, ("kerb", "kerb", "yard")),
    "car": lambda placer: _add_vehicle(placer, "car", 0.42, ("kerb", "kerb", "bay", "bay", "bay")),
    "motorcycle": lambda placer: _add_cycle(placer, "motorcycle"),
    "bicycle": lambda placer: _add_cycle(placer, "bicycle"),
    "barrier": _add_barriers,
    "traffic_cone": _add_cones,
    "pedestrian": _add_pedestrians,
}
