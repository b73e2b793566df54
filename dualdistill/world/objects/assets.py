"""Annotated objects: a mesh with its box, detection class and nuScenes category."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualdistill.world.geometry.mesh import Mesh
from dualdistill.world.geometry.raytrace import RigidBody
from dualdistill.world.objects import machines, people, street, vehicles

CORNERS = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0.0, 1.0)])
SLACK_M = (
    0.02  # of the box around the mesh, so that it holds the object's returns despite the LiDAR's range noise
)

CATEGORIES = {
    "car": "vehicle.car",
    "truck": "vehicle.truck",
    "construction_vehicle": "vehicle.construction",
    "bus": "vehicle.bus.rigid",
    "trailer": "vehicle.trailer",
    "barrier": "movable_object.barrier",
    "motorcycle": "vehicle.motorcycle",
    "bicycle": "vehicle.bicycle",
    "pedestrian": "human.pedestrian.adult",
    "traffic_cone": "movable_object.trafficcone",
}


@dataclass(frozen=True)
class Asset:
    """A mesh centred on its footprint; `size_lwh` is the size of its annotated box in metres."""

    name: str  # detection class
    category: str
    mesh: Mesh
    size_lwh: tuple[float, float, float]

    @functools.cached_property
    def body(self) -> RigidBody:
        """The mesh prepared for ray casting, built on first use."""
        return RigidBody(self.mesh)

    @property
    def corners_83(self) -> NDArray[np.float64]:
        """Corners of the box, which stands on the ground."""
        return CORNERS * self.size_lwh


def make_asset(name: str, mesh: Mesh, category: str = "") -> Asset:
    """Centre a mesh on its footprint and measure its box."""
    low, high = mesh.bounds
    middle = (low + high) / 2
    length, width, height = (float(extent) for extent in high - low)
    size = (length + 2 * SLACK_M, width + 2 * SLACK_M, height + SLACK_M)
    centred = mesh.moved(-float(middle[0]), -float(middle[1]), -float(low[2]))
    return Asset(name, category or CATEGORIES[name], centred, size)


def vehicle(rng: np.random.Generator, name: str) -> Asset:
    builders = {
        "car": vehicles.car,
        "truck": vehicles.truck,
        "construction_vehicle": machines.construction_vehicle,
        "bus": vehicles.bus,
        "trailer": vehicles.trailer,
    }
    return make_asset(name, builders[name](rng))


def cycle(rng: np.random.Generator, name: str, with_rider: bool) -> Asset:
    build = people.bicycle if name == "bicycle" else people.motorcycle
    return make_asset(name, build(rng, with_rider))


def pedestrian(rng: np.random.Generator, posture: str, *, worker: bool = False) -> Asset:
    child = not worker and rng.random() < 0.1
    kind = "construction_worker" if worker else "child" if child else "adult"
    return make_asset(
        "pedestrian", people.person(rng, posture, worker=worker, child=child), f"human.pedestrian.{kind}"
    )


def barrier(rng: np.random.Generator, style: str) -> Asset:
    return make_asset("barrier", street.barrier(rng, style))


def traffic_cone(rng: np.random.Generator) -> Asset:
    return make_asset("traffic_cone", street.traffic_cone(rng))


def tractor(rng: np.random.Generator) -> Asset:
    """The truck in front of a trailer."""
    return make_asset("truck", vehicles.tractor(rng))
