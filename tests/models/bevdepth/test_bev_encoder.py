"""Alignment in time, and the shapes of the BEV network at every grid size in use."""

from __future__ import annotations

import math

import pytest
import torch
from batches import SLIM_GRID

from dualdistill.config.run_spec import GridSpec
from dualdistill.models.bevdepth.bev_encoder import BevEncoder, BevNeck, warp_to_current
from dualdistill.models.bevdepth.geometry import EXACT, RELEASED


def pose(x: float, y: float, yaw: float) -> torch.Tensor:
    sine, cosine = math.sin(yaw), math.cos(yaw)
    matrix = torch.eye(4)
    matrix[:2, :2] = torch.tensor([[cosine, -sine], [sine, cosine]])
    matrix[:2, 3] = torch.tensor([x, y])
    return matrix


def blob(x: float, y: float, grid: GridSpec) -> torch.Tensor:
    centre = (torch.arange(grid.cells) + 0.5) * grid.cell_m - grid.half_extent_m
    squared = (centre[None, :] - x) ** 2 + (centre[:, None] - y) ** 2
    return torch.exp(-squared / (2 * (2 * grid.cell_m) ** 2))


def centroid(map_YX: torch.Tensor, grid: GridSpec) -> tuple[float, float]:
    centre = (torch.arange(grid.cells) + 0.5) * grid.cell_m - grid.half_extent_m
    mass = map_YX.sum()
    return ((map_YX.sum(0) @ centre) / mass).item(), ((map_YX.sum(1) @ centre) / mass).item()


@pytest.mark.parametrize("grid", [SLIM_GRID, GridSpec(51.2, 0.8)], ids=["32", "128"])
def test_a_blob_off_the_diagonal_moves_with_the_car(grid: GridSpec):
    then_to_now = pose(1.3, -4.1, 0.25)
    before = torch.tensor([9.0, -3.0, 0.0, 1.0])
    now_x, now_y = (then_to_now @ before)[:2].tolist()
    moved = warp_to_current(blob(9.0, -3.0, grid)[None, None], then_to_now[None], grid)[0, 0]
    x, y = centroid(moved, grid)
    assert abs(x - now_x) < 0.05 * grid.cell_m
    assert abs(y - now_y) < 0.05 * grid.cell_m
    assert math.hypot(now_x - 9.0, now_y + 3.0) > 1.5 * 1.6


def test_released_alignment_turns_about_the_lower_corner_of_cells():
    half = torch.full((2,), SLIM_GRID.cell_m / 2)
    before, motion = torch.tensor([9.0, -3.0]), pose(1.3, -4.1, 1.2)
    exact = motion[:2, :2] @ before + motion[:2, 3]
    released = motion[:2, :2] @ (before - half) + motion[:2, 3] + half
    assert (exact - released).norm() > 0.8
    for geometry, expected in ((EXACT, exact), (RELEASED, released)):
        moved = warp_to_current(blob(9.0, -3.0, SLIM_GRID)[None, None], motion[None], SLIM_GRID, geometry)
        assert centroid(moved[0, 0], SLIM_GRID) == pytest.approx(expected.tolist(), abs=0.05)


def test_without_motion_the_map_is_unchanged():
    before = torch.randn(2, 3, 32, 32)
    assert torch.allclose(warp_to_current(before, torch.eye(4).repeat(2, 1, 1), SLIM_GRID), before, atol=1e-5)


def test_cells_that_enter_the_grid_are_zero():
    moved = warp_to_current(torch.ones(1, 1, 32, 32), pose(0.0, -8.0, 0.0)[None], SLIM_GRID)[0, 0]
    assert torch.allclose(moved[:27], torch.ones(27, 32), atol=1e-4)
    assert not moved[-5:].any()


@pytest.mark.parametrize("cells", [32, 64, 128])
def test_taps_halve_and_the_neck_returns_to_the_full_grid(cells: int):
    encoder, neck = BevEncoder(8, (8, 12, 16)), BevNeck((8, 12, 16), 10, extra_norm=True)
    taps = encoder(torch.randn(2, 8, cells, cells))
    assert [tuple(tap.shape[1:]) for tap in taps] == [
        (8, cells // 2, cells // 2),
        (12, cells // 4, cells // 4),
        (16, cells // 8, cells // 8),
    ]
    assert neck(taps).shape == (2, 10, cells, cells)


def test_the_closing_norm_of_the_neck_is_an_option():
    taps = BevEncoder(8, (8, 12, 16))(torch.randn(2, 8, 32, 32))
    assert (BevNeck((8, 12, 16), 10, extra_norm=True)(taps) >= 0).all()
    assert (BevNeck((8, 12, 16), 10, extra_norm=False)(taps) < 0).any()
