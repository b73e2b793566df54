"""Every object fits its box, has a typical size of its class and stands on the ground."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dualdistill.config.nuscenes import CLASSES
from dualdistill.world.objects import assets
from dualdistill.world.objects.assets import SLACK_M, Asset

Build = Callable[[np.random.Generator], Asset]
BUILDERS: dict[str, Build] = {
    **{name: lambda rng, name=name: assets.vehicle(rng, name) for name in CLASSES[:5]},
    "barrier": lambda rng: assets.barrier(rng, str(rng.choice(["concrete", "plastic", "board"]))),
    "motorcycle": lambda rng: assets.cycle(rng, "motorcycle", rng.random() < 0.5),
    "bicycle": lambda rng: assets.cycle(rng, "bicycle", rng.random() < 0.5),
    "pedestrian": lambda rng: assets.pedestrian(rng, str(rng.choice(["standing", "moving", "sitting"]))),
    "traffic_cone": assets.traffic_cone,
}
# nuScenes' mean length, width and height of each class
TYPICAL = {
    "car": (4.6, 1.95, 1.73),
    "truck": (6.9, 2.5, 2.84),
    "construction_vehicle": (6.4, 2.85, 3.2),
    "bus": (11.0, 2.95, 3.5),
    "trailer": (12.3, 2.9, 3.9),
    "barrier": (0.5, 2.5, 1.0),
    "motorcycle": (2.1, 0.77, 1.47),
    "bicycle": (1.7, 0.6, 1.28),
    "pedestrian": (0.73, 0.67, 1.77),
    "traffic_cone": (0.41, 0.41, 1.07),
}


@pytest.mark.parametrize("name", CLASSES)
def test_boxes_fit_their_meshes(name: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(25):
        asset = BUILDERS[name](rng)
        low, high = asset.mesh.bounds
        assert asset.name == name
        assert low[2] == pytest.approx(0, abs=1e-5)
        assert (low + high)[:2] == pytest.approx([0, 0], abs=1e-4)
        assert np.subtract(asset.size_lwh, high - low) == pytest.approx(
            [2 * SLACK_M, 2 * SLACK_M, SLACK_M], abs=1e-4
        )


@pytest.mark.parametrize("name", CLASSES)
def test_sizes_are_typical_and_vary(name: str) -> None:
    rng = np.random.default_rng(1)
    sizes = np.array([BUILDERS[name](rng).size_lwh for _ in range(60)])
    ratio = sizes.mean(0) / TYPICAL[name]
    assert np.all((ratio > 0.65) & (ratio < 1.45)), ratio
    assert np.all(sizes.std(0)[:1] > 0)


@pytest.mark.parametrize("name", CLASSES)
def test_triangles_face_outwards(name: str) -> None:
    """The signed volume of a closed mesh with outward-facing triangles is positive."""
    asset = BUILDERS[name](np.random.default_rng(2))
    a, b, c = np.moveaxis(asset.mesh.corners_T33.astype(float), 1, 0)
    assert np.einsum("tc,tc->t", a, np.cross(b, c)).sum() > 0
