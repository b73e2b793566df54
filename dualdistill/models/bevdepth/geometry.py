"""Conventions of the lift and of the alignment in time: exact, or as in the released code.

Both train; weights that were trained with one lose accuracy with the other, so imported students keep the
released one. Axes: B batch, F frames (0 current, 1 previous), N cameras, h w cells of the lifted map, D depth
bins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Bins = tuple[float, float, float]  # from, to, step


@dataclass(frozen=True)
class Geometry:
    """Switches between two readings of the same formulas."""

    cut: Callable[[Tensor], Tensor]  # of a coordinate in cells to the index of its row or column
    z_range_m: tuple[float, float]  # of the points that are splatted
    bin_at: float  # where in its depth bin a lifted point stands, 0 at the lower and 1 at the upper edge
    index_at: float  # likewise where in its BEV cell the index stands, for the alignment
    stretched: bool  # cells of the image map over the whole width, not at multiples of the stride
    own_pose: bool  # cameras of the previous frame at their poses then, not at those of the current frame

    def depths(self, bins_m: Bins, device: torch.device) -> Tensor:
        """Depth that represents each bin, in metres, [D]."""
        return bin_depths(bins_m, device, self.bin_at)

    def pixels(self, height: int, width: int, stride: int, device: torch.device) -> Tensor:
        """Network pixels (u, v) of the cells of the lifted map, [h, w, 2]."""
        v_h, u_w = (
            torch.linspace(0, count * stride - 1, count, device=device)
            if self.stretched
            else torch.arange(count, device=device) * float(stride)
            for count in (height, width)
        )
        grid_v_hw, grid_u_hw = torch.meshgrid(v_h, u_w, indexing="ij")
        return torch.stack([grid_u_hw, grid_v_hw], dim=-1)

    def poses(self, camera_to_lidar_BFN44: Tensor, frame: int) -> Tensor:
        """Poses with which a frame is lifted and gated, [B, N, 4, 4]."""
        return camera_to_lidar_BFN44[:, frame if self.own_pose else 0]


# A cell (row i, column j) of a map of stride s lies at pixel (s j, s i): the centre of its receptive field in
# a ResNet, and the pixel around which the depth target collects points. A bin's middle is the average of the
# depths that train it.
EXACT = Geometry(
    cut=torch.floor,
    z_range_m=(-10.0, 10.0),
    bin_at=0.5,
    index_at=0.5,
    stretched=False,
    own_pose=True,
)
# bevdet_distill_more.py and view_transformer_mine.py of Gaeun-Kimm/DualDistill. Its .long() cuts toward zero:
# a point up to a cell below the lower edge of x or y joins the first column or row, and the one slab of 20 m
# from -10 m on takes points from -30 m on. Its pixels are linspace(0, width - 1), up to a stride off.
RELEASED = Geometry(
    cut=torch.trunc,
    z_range_m=(-30.0, 10.0),
    bin_at=0.0,
    index_at=0.0,
    stretched=True,
    own_pose=False,
)
GEOMETRIES = {"exact": EXACT, "released": RELEASED}


def depth_bin_count(bins_m: Bins) -> int:
    lower, upper, step = bins_m
    return round((upper - lower) / step)


def bin_depths(bins_m: Bins, device: torch.device, at: float = EXACT.bin_at) -> Tensor:
    """Depth of each bin in metres, at its middle unless another place between its edges is given."""
    lower, _, step = bins_m
    return lower + step * (torch.arange(depth_bin_count(bins_m), device=device) + at)
