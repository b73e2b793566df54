"""Occluders in the space that the traffic leaves free: trees, bins, bushes, walls, parked trucks.

They are drawn after the traffic, each kind from its own random stream: a larger amount keeps the occluders of
a smaller amount and adds to them.
"""

from __future__ import annotations

import numpy as np

from dualdistill.world.geometry.mesh import Mesh
from dualdistill.world.geometry.motion import stationary
from dualdistill.world.objects import assets, street
from dualdistill.world.scene.town import pavement_places
from dualdistill.world.scene.traffic import Actor, Placer

# builders with the side of the footprint in metres, and their frequencies on pavements and in parks
PLANTS = ((street.tree, 0.5), (street.bin_or_box, 1.0), (street.bush, 1.3))
PAVEMENT_MIX, PARK_MIX = (0.55, 0.3, 0.15), (0.7, 0.0, 0.3)
PLACES_PER_PLANT, PARK_M_PER_PLANT = 14, 4.0  # a place on the pavement every 1.6 m
TRUCKS_PER_M = 0.5 / 80
WALLS_PER_ACTOR = 0.12
WALL_LENGTH_M, IN_FRONT_M = (
    (1.2, 4.0),
    (0.5, 4.0),
)  # length of a wall, and its distance from the actor it hides
CLOSE_M = 0.1
FAR_RADII = 2.0  # annotated radii from the ego's drive beyond which plants need no collision test
KERB_SHIFT_M = 3.0
TRIES = 12  # per wall or truck


def add_occluders(placer: Placer, rng: np.random.Generator, occlusion: float, corridor_m: float) -> None:
    """Add occluders; `occlusion` multiplies the default amount of each kind."""
    trucks, walls, plants = rng.spawn(3)
    _park_trucks(placer, trucks, round(occlusion * TRUCKS_PER_M * corridor_m))
    actors = list(placer.actors)
    for stream in walls.spawn(round(WALLS_PER_ACTOR * occlusion * len(actors))):
        for _ in range(TRIES):
            if _add_wall(placer, stream, actors[stream.integers(len(actors))]):
                break
    _add_plants(placer, plants, occlusion)


def _park_trucks(placer: Placer, rng: np.random.Generator, number: int) -> None:
    """Park trucks at the kerb; they are annotated like all other objects."""
    for stream in rng.spawn(number if len(placer.places["kerb"]) else 0):
        truck = assets.vehicle(stream, "truck")
        for x, y, yaw in stream.choice(placer.places["kerb"], TRIES):
            shift = stream.uniform(-KERB_SHIFT_M, KERB_SHIFT_M)
            place = stationary(x + shift * np.cos(yaw), y + shift * np.sin(yaw), yaw)
            if placer.place(truck, place, "vehicle.parked", margin=0.15):
                break


def _add_wall(placer: Placer, rng: np.random.Generator, hidden: Actor) -> bool:
    """Put a wall or hedge between the ego's drive and an actor beside the street."""
    when, length = float(rng.uniform(0.0, placer.drive.seconds)), float(rng.uniform(*WALL_LENGTH_M))
    at = hidden.motion.at([when])[0][0]
    to_ego = placer.ego_xy[np.linalg.norm(placer.ego_xy - at, axis=1).argmin()] - at
    gap = min(hidden.asset.size_lwh[:2]) / 2 + rng.uniform(*IN_FRONT_M)
    x, y = at + gap * to_ego / max(float(np.linalg.norm(to_ego)), 1e-3)
    across = float(np.arctan2(to_ego[1], to_ego[0])) + np.pi / 2
    if placer.town.on_street(x, y):
        return False
    mesh = street.wall(rng, length)
    return _place(placer, mesh, (float(x), float(y), across), (length, street.WALL_THICKNESS_M))


def _add_plants(placer: Placer, rng: np.random.Generator, occlusion: float) -> None:
    pavement = rng.permutation(pavement_places(rng, placer.town))
    kinds = rng.choice(len(PLANTS), len(pavement), p=PAVEMENT_MIX)
    number = round(occlusion * len(pavement) / PLACES_PER_PLANT)
    wanted = list(zip(pavement, kinds, strict=True))[:number]
    for plot, stream in zip(placer.town.plots, rng.spawn(len(placer.town.plots)), strict=True):
        if plot.kind == "park":
            count = round(occlusion * (plot.x[1] - plot.x[0]) / PARK_M_PER_PLANT)
            for _ in range(count):
                place = plot.random_places(stream, 1, 1.5)[0]
                wanted.append((place, int(stream.choice(len(PLANTS), p=PARK_MIX))))
    xy = np.array([place[:2] for place, _ in wanted]).reshape(-1, 1, 2)
    distances = np.linalg.norm(xy - placer.ego_xy, axis=-1).min(1)
    for ((x, y, yaw), kind), distance in zip(wanted, distances, strict=True):
        build, size = PLANTS[kind]
        if distance > FAR_RADII * placer.radius:  # no actors there, and the collision test is the slow part
            placer.occluders.append(build(rng).moved(x, y, 0.0, yaw))
        else:
            _place(placer, build(rng), (float(x), float(y), float(yaw)), (size, size))


def _place(placer: Placer, mesh: Mesh, place: tuple[float, float, float], size: tuple[float, float]) -> bool:
    x, y, yaw = place
    if not placer.occupied.is_free(stationary(x, y, yaw), *size, CLOSE_M):
        return False
    placer.occupied.add(stationary(x, y, yaw), *size)
    placer.occluders.append(mesh.moved(x, y, 0.0, yaw))
    return True
