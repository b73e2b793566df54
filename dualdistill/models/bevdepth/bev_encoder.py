"""The student's BEV network: alignment in time, encoder and neck.

Axes: B batch, C channels, Y X rows and columns of the BEV grid.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualdistill.config.run_spec import GridSpec
from dualdistill.models.bevdepth.geometry import EXACT, Geometry
from dualdistill.models.layers import conv_norm_relu, residual_stage


def warp_to_current(
    previous_BCYX: Tensor, previous_to_current_B44: Tensor, grid: GridSpec, geometry: Geometry = EXACT
) -> Tensor:
    """Warp the previous frame's map to the current pose: bilinear, zero outside, in the ground plane.

    grid_sample without align_corners puts -1 and 1 on the outer edges of the map, which are -half_extent and
    +half_extent, so metres divided by half_extent are sampling positions.
    """
    cell_X = torch.arange(grid.cells, device=previous_BCYX.device)
    place_X = (cell_X + geometry.index_at) * grid.cell_m - grid.half_extent_m
    y_YX, x_YX = torch.meshgrid(place_X, place_X, indexing="ij")
    current_YX3 = torch.stack([x_YX, y_YX, torch.ones_like(x_YX)], dim=-1)
    to_centre_m = (EXACT.index_at - geometry.index_at) * grid.cell_m
    with torch.autocast(previous_BCYX.device.type, enabled=False):  # half precision would shift cells
        current_to_previous_B44 = torch.linalg.inv(previous_to_current_B44)
        planar_B23 = current_to_previous_B44[:, :2, [0, 1, 3]]
        previous_BYX2 = torch.einsum("bij,yxj->byxi", planar_B23, current_YX3) + to_centre_m
        return F.grid_sample(previous_BCYX.float(), previous_BYX2 / grid.half_extent_m, align_corners=False)


class BevEncoder(nn.Module):
    """Three stages of two basic blocks, each halving the map: taps s1, s2, s3."""

    def __init__(self, inputs: int, channels: tuple[int, int, int]) -> None:
        super().__init__()
        widths = (inputs, *channels)
        self.stages = nn.ModuleList(residual_stage(widths[i], widths[i + 1], 2, stride=2) for i in range(3))

    def forward(self, bev_BCYX: Tensor) -> list[Tensor]:
        taps = []
        for stage in self.stages:
            bev_BCYX = stage(bev_BCYX)
            taps.append(bev_BCYX)
        return taps


def _upsample(factor: int) -> nn.Upsample:
    return nn.Upsample(scale_factor=factor, mode="bilinear", align_corners=True)


class BevNeck(nn.Module):
    """BEVDet's FPN_LSS: s3 joins s1 and returns to the full grid; extra_norm appends BN and ReLU."""

    def __init__(self, channels: tuple[int, int, int], outputs: int, extra_norm: bool) -> None:
        super().__init__()
        hidden = 2 * outputs
        self.up_coarse = _upsample(4)
        self.merge = nn.Sequential(
            conv_norm_relu(channels[0] + channels[2], hidden, 3), conv_norm_relu(hidden, hidden, 3)
        )
        self.up = nn.Sequential(
            _upsample(2), conv_norm_relu(hidden, outputs, 3), nn.Conv2d(outputs, outputs, 1)
        )
        closing = (nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)) if extra_norm else ()
        self.close = nn.Sequential(*closing)

    def forward(self, taps: list[Tensor]) -> Tensor:
        joined_BCYX = torch.cat([taps[0], self.up_coarse(taps[2])], dim=1)
        return self.close(self.up(self.merge(joined_BCYX)))
