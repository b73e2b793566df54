"""Each switch between exact and released geometry, on one point or camera off the diagonal.

That of the alignment in time is in test_bev_encoder.py.
"""

from __future__ import annotations

import dataclasses

import pytest
import torch
from batches import SLIM_GRID, SLIM_STUDENT, random_batch

from dualdistill.models.bevdepth.geometry import EXACT, RELEASED, Geometry
from dualdistill.models.bevdepth.student import BEVDepth
from dualdistill.models.bevdepth.view_transform import plan_splat, splat

CPU = torch.device("cpu")


def cells_of(point: list[float], geometry: Geometry) -> list[list[int]]:
    """Row and column to which a lifted point contributes, in a grid of +-25.6 m and cells of 1.6 m."""
    points_BNhwD3 = torch.tensor(point).view(1, 1, 1, 1, 1, 3)
    plan = plan_splat(points_BNhwD3, SLIM_GRID, geometry)
    return splat(torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1), plan)[0, 0].nonzero().tolist()


def test_inside_the_grid_both_choose_the_same_cell():
    inside = [9.0, -3.0, 0.5]
    assert cells_of(inside, EXACT) == cells_of(inside, RELEASED) == [[14, 21]]


@pytest.mark.parametrize(
    ("point", "released"),
    [
        ([-26.9, -3.0, 0.5], [[14, 0]]),  # up to a cell beyond the lower edge of x
        ([9.0, -26.9, 0.5], [[0, 21]]),  # of y
        ([9.0, -3.0, -29.0], [[14, 21]]),  # up to a slab below the ground
        ([-27.3, -3.0, 0.5], []),
        ([26.0, -3.0, 0.5], []),
        ([9.0, 26.0, 0.5], []),
        ([9.0, -3.0, -31.0], []),
        ([9.0, -3.0, 10.5], []),
    ],
)
def test_released_geometry_takes_points_below_the_lower_edges(point: list[float], released: list[list[int]]):
    assert cells_of(point, EXACT) == []
    assert cells_of(point, RELEASED) == released


def test_released_bins_stand_at_their_lower_edge():
    assert EXACT.depths((2.0, 58.0, 0.5), CPU)[[0, 7, -1]].tolist() == [2.25, 5.75, 57.75]
    assert RELEASED.depths((2.0, 58.0, 0.5), CPU)[[0, 7, -1]].tolist() == [2.0, 5.5, 57.5]


def test_released_cells_reach_the_last_pixel():
    assert EXACT.pixels(4, 11, 16, CPU)[2, 7].tolist() == [112.0, 32.0]
    assert RELEASED.pixels(4, 11, 16, CPU)[2, 7].tolist() == pytest.approx([122.5, 42.0])
    assert RELEASED.pixels(4, 11, 16, CPU)[3, 10].tolist() == [175.0, 63.0]


@torch.no_grad()
def test_released_geometry_lifts_the_previous_frame_with_the_current_poses():
    batch = random_batch(1)
    poses = batch.camera_to_lidar_BFN44.clone()
    poses[:, 1, 2, :3, 3] += torch.tensor([3.0, -1.0, 0.5])  # one camera stood elsewhere in the frame before
    turned = dataclasses.replace(batch, camera_to_lidar_BFN44=poses)
    for geometry, changes in (("exact", True), ("released", False)):
        student = BEVDepth(dataclasses.replace(SLIM_STUDENT, geometry=geometry), SLIM_GRID).eval()
        before, after = student(batch), student(turned)
        assert torch.equal(before.taps_BCHW["s0"][:, :16], after.taps_BCHW["s0"][:, :16])
        assert torch.equal(before.taps_BCHW["s0"][:, 16:], after.taps_BCHW["s0"][:, 16:]) != changes
