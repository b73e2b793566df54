"""Objects of a scene, their number in proportion to the ego's drive: roadworks, vehicles, cycles, people."""

from __future__ import annotations

import numpy as np

from dualdistill.world.geometry.motion import constant_speed, polyline, stationary
from dualdistill.world.objects import assets, street
from dualdistill.world.scene.traffic import Placer

# Objects per 80 m of corridor. The order follows nuScenes, but rare classes are more frequent, so that all
# can be learned: most of all the small ones, which fill little of an image and occlude nothing.
PER_80_M = {
    "construction_vehicle": 1.2,
    "bus": 1.0,
    "trailer": 1.0,
    "truck": 1.7,
    "car": 10.0,
    "motorcycle": 3.2,
    "bicycle": 3.2,
    "barrier": 5.0,
    "traffic_cone": 5.5,
    "pedestrian": 11.0,
}
LARGE = ("construction_vehicle", "bus", "trailer", "truck")
# Large vehicles of successive scenes: all four around the ego would occlude half of its cameras' view.
TURNS = (
    ("trailer", "bus"),
    ("truck", "construction_vehicle"),
    ("trailer", "construction_vehicle"),
    ("trailer", "bus"),
)
TRIES = 40  # per requested object
CLOSEST = 0.3  # smallest share of the closest places from which `add_close` draws


def classes_of_scene(number: int) -> tuple[str, ...]:
    """The classes of a scene; a trailer may bring a truck along."""
    large = TURNS[number % len(TURNS)]
    return tuple(name for name in PER_80_M if name not in LARGE or name in large)


def populate(placer: Placer, density: float, names: tuple[str, ...]) -> None:
    """Add objects in proportion to the density, and at least one of each named class if there is room."""
    scale = density * placer.corridor_m / 80.0
    wanted = {name: max(1, int(PER_80_M[name] * scale + placer.rng.uniform())) for name in names}
    if "construction_vehicle" in names:
        _add_roadworks(placer, wanted)
    for name, number in wanted.items():
        _add_until(placer, name, number)


def add_close(placer: Placer, name: str) -> None:
    """Add one more object of a class (or a row, or a group) close to the ego's drive."""
    placer.closest_share = float(placer.rng.uniform(CLOSEST, 1.0))
    _add_until(placer, name, placer.count(name) + 1)
    placer.closest_share = 1.0


def _add_until(placer: Placer, name: str, number: int) -> None:
    """Add objects of a class until there are `number` of them, or the tries are used up."""
    for _ in range(TRIES * number):
        if placer.count(name) >= number:
            break
        ADDERS[name](placer)


def _add_roadworks(placer: Placer, wanted: dict[str, int]) -> None:
    """Close a strip at the kerb: a machine, barriers towards the traffic, cones ahead of it, a worker."""
    rng, occupied = placer.rng, placer.occupied
    for _ in range(TRIES):
        place = placer.draw_place("kerb")
        if place is None:
            return
        machine = placer.draft("construction_vehicle", lambda: assets.vehicle(rng, "construction_vehicle"))
        length, width, _ = machine.size_lwh
        if not occupied.is_free(stationary(*place), length + 6.0, width + 1.2, 0.2):
            continue
        x, y, yaw = place
        along, left = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
        machine_yaw = yaw + (np.pi if rng.random() < 0.3 else 0.0)
        placer.place(machine, stationary(x, y, machine_yaw), "vehicle.parked", 0.0)
        style, edge = street.barrier_style(rng), width / 2 + 0.55
        for step in np.arange(-(length / 2), length / 2 + 1.0, 2.25)[: wanted["barrier"]]:
            at = np.array([x, y]) + step * along + edge * left
            placer.place(assets.barrier(rng, style), stationary(at[0], at[1], yaw + np.pi / 2), "", 0.0)
        for step in range(min(3, wanted["traffic_cone"])):
            at = np.array([x, y]) - (length / 2 + 1.6 + 1.7 * step) * along + (edge - 0.8 * step) * left
            placer.place(assets.traffic_cone(rng), stationary(at[0], at[1], yaw), "", 0.0)
        at = np.array([x, y]) - (length / 2 + 1.4) * along
        worker = assets.pedestrian(rng, "standing", worker=True)
        worker_yaw = float(rng.uniform(-np.pi, np.pi))
        placer.place(worker, stationary(at[0], at[1], worker_yaw), "pedestrian.standing", 0.0)
        return


def _add_vehicle(placer: Placer, name: str, lane_share: float, kinds: tuple[str, ...]) -> None:
    asset = placer.draft(name, lambda: assets.vehicle(placer.rng, name))
    if placer.rng.random() < lane_share:
        placer.place_on_lane(asset, "vehicle.stopped")
    else:
        placer.park(asset, kinds, "vehicle.parked")


def _add_trailer(placer: Placer) -> None:
    trailer = placer.draft("trailer", lambda: assets.vehicle(placer.rng, "trailer"))
    if placer.rng.random() < 0.6:
        tractor = placer.draft("tractor", lambda: assets.tractor(placer.rng))
        placer.place_on_lane(tractor, "vehicle.stopped", behind=trailer)
    else:
        placer.park(trailer, ("kerb", "kerb", "yard"), "vehicle.parked")


def _add_cycle(placer: Placer, name: str) -> None:
    if placer.rng.random() < 0.65:
        ridden = placer.draft(f"ridden {name}", lambda: assets.cycle(placer.rng, name, True))
        placer.place_on_lane(ridden, "cycle.with_rider", cycle=True)
    else:
        kinds = ("kerb", "pavement", "bay") if name == "motorcycle" else ("pavement", "pavement", "park")
        parked = placer.draft(f"parked {name}", lambda: assets.cycle(placer.rng, name, False))
        placer.park(parked, kinds, "cycle.without_rider", jitter=0.5)


def _add_barriers(placer: Placer) -> None:
    """Add a row of barriers along the pavement's edge or across a building site."""
    rng = placer.rng
    place = placer.draw_place(str(rng.choice(["kerb", "kerb", "pavement", "yard"])))
    if place is None:
        return
    x, y, yaw = place
    style = street.barrier_style(rng)
    for step in range(int(rng.integers(2, 5))):
        barrier = assets.barrier(rng, style)
        shift = step * (barrier.size_lwh[1] + rng.uniform(0.05, 0.4))
        heading = yaw + np.pi / 2 + rng.normal(0, 0.06)
        placer.place(barrier, stationary(x + shift * np.cos(yaw), y + shift * np.sin(yaw), heading), "", 0.02)


def _add_cones(placer: Placer) -> None:
    rng = placer.rng
    place = placer.draw_place(str(rng.choice(["kerb", "kerb", "pavement", "yard", "bay"])))
    if place is None:
        return
    x, y, yaw = place
    gap, drift = rng.uniform(1.2, 2.6), rng.uniform(-0.2, 0.2)
    for step in range(int(rng.integers(1, 5))):
        at = (x + step * gap * np.cos(yaw + drift), y + step * gap * np.sin(yaw + drift))
        cone = assets.traffic_cone(rng)
        placer.place(cone, stationary(at[0], at[1], float(rng.uniform(-np.pi, np.pi))), "", 0.1)


def _add_pedestrians(placer: Placer) -> None:
    rng = placer.rng
    choice = rng.random()
    if choice < 0.14:
        _add_crossing(placer)
        return
    place = placer.draw_place("pavement" if rng.random() < 0.8 else "park")
    if place is None:
        return
    x, y, yaw = place
    if choice < 0.62:  # walking, alone or in pairs; some turn a corner
        bend = yaw + rng.choice([0.0, 0.0, 0.6, -0.6])
        speed = rng.uniform(0.8, 1.7)
        for _ in range(int(rng.choice([1, 2], p=[0.7, 0.3]))):
            corner = (x + 3 * np.cos(yaw), y + 3 * np.sin(yaw))
            path = polyline([(x, y), corner, (corner[0] + 30 * np.cos(bend), corner[1] + 30 * np.sin(bend))])
            walker = assets.pedestrian(rng, "moving")
            placer.place(walker, constant_speed(path, rng.uniform(0, 1), speed), "pedestrian.standing", 0.1)
            x, y = x - 0.8 * np.sin(yaw), y + 0.8 * np.cos(yaw)
    else:  # standing in a group, facing each other; a few sit
        posture = "sitting" if rng.random() < 0.2 else "standing"
        attribute = "pedestrian.sitting_lying_down" if posture == "sitting" else "pedestrian.standing"
        for _ in range(int(rng.integers(1, 4))):
            facing = float(rng.uniform(-np.pi, np.pi))
            at = (x - 0.7 * np.cos(facing), y - 0.7 * np.sin(facing))
            worker = posture == "standing" and rng.random() < 0.08
            person = assets.pedestrian(rng, posture, worker=worker)
            placer.place(person, stationary(at[0], at[1], facing), attribute, 0.05)


def _add_crossing(placer: Placer) -> None:
    """Add a pedestrian crossing the main street, at a zebra crossing if there is one."""
    rng, town = placer.rng, placer.town
    x = float(rng.choice([*town.crossings, placer.ego_xy[-1, 0] + rng.uniform(-15, 15)])) + rng.uniform(-1, 1)
    side, speed = rng.choice([-1, 1]), rng.uniform(0.9, 1.7)
    edge = town.half_main + 2.0
    path = polyline([(x, -side * edge), (x + rng.uniform(-1, 1), side * edge)])
    when = rng.uniform(0, placer.drive.seconds)
    start = rng.uniform(0, path.length) - when * speed
    walker = assets.pedestrian(rng, "moving")
    placer.place(walker, constant_speed(path, start, speed), "pedestrian.standing", 0.1)


ADDERS = {
    "construction_vehicle": lambda placer: _add_vehicle(
        placer, "construction_vehicle", 0.2, ("yard", "kerb")
    ),
    "bus": lambda placer: _add_vehicle(placer, "bus", 0.7, ("kerb",)),
    "trailer": _add_trailer,
    "truck": lambda placer: _add_vehicle(placer, "truck", 0.6, ("kerb", "kerb", "yard")),
    "car": lambda placer: _add_vehicle(placer, "car", 0.6, ("kerb", "kerb", "bay", "bay", "bay")),
    "motorcycle": lambda placer: _add_cycle(placer, "motorcycle"),
    "bicycle": lambda placer: _add_cycle(placer, "bicycle"),
    "barrier": _add_barriers,
    "traffic_cone": _add_cones,
    "pedestrian": _add_pedestrians,
}
