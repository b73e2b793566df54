"""Dynamic pillars: no limit on the number of points or pillars.

With `pillar_points`, the padded pillars of mmdet3d's CenterPoint, for its released weights: a pillar keeps
its first points, and where it has fewer, the maximum includes padded points, which are zeros before the
layer. In training these do not enter the batch statistics, as they would in mmdet3d.

Axes: P points of the whole batch, I point columns, C channels, Q occupied pillars of the batch,
Y X rows and columns of the canvas.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualdistill.config.run_spec import GridSpec, TeacherSpec
from dualdistill.data.batch import FLAG, VIRTUAL

OFFSETS = 5  # three to the pillar's mean point, two to its centre


class PillarEncoder(nn.Module):
    """Points -> canvas of pillar features, [B, C, Y, X]."""

    padding_C: Tensor

    def __init__(self, spec: TeacherSpec, grid: GridSpec, columns: int = TeacherSpec.columns) -> None:
        super().__init__()
        self.half_extent_m, self.pillar_m, self.z_range_m = grid.half_extent_m, spec.pillar_m, spec.z_range_m
        self.pillars = round(2 * grid.half_extent_m / spec.pillar_m)
        self.limit = spec.pillar_points
        self.linear = nn.Linear(columns + OFFSETS, spec.pillar_channels, bias=False)
        self.norm = nn.BatchNorm1d(spec.pillar_channels, eps=1e-3, momentum=0.01)
        if self.limit:
            # the layer's output for a padded point: zero, unless an import has moved a constant into the norm
            self.register_buffer("padding_C", torch.zeros(spec.pillar_channels))

    def forward(self, points_PI: tuple[Tensor, ...]) -> Tensor:
        kept_PI, cell_P, centre_P2 = self._assign(points_PI)
        cell_Q, pillar_P = torch.unique(cell_P, return_inverse=True)
        features_PI = decorate(kept_PI, pillar_P, centre_P2, len(cell_Q))
        # bfloat16 would round x and y to 25 cm at the edge of the grid; mmdet3d 0.17 has force_fp32 here
        with torch.autocast(features_PI.device.type, enabled=False):
            features_PC = torch.relu(self.norm(self.linear(features_PI)))
        channels = features_PC.shape[1]
        pillars_QC = self._least(pillar_P, len(cell_Q)).scatter_reduce(
            0, pillar_P[:, None].expand_as(features_PC), features_PC, "amax"
        )
        canvas_BYXC = features_PC.new_zeros(len(points_PI) * self.pillars**2, channels)
        canvas_BYXC = canvas_BYXC.index_copy(0, cell_Q, pillars_QC)
        return canvas_BYXC.view(-1, self.pillars, self.pillars, channels).permute(0, 3, 1, 2)

    def _least(self, pillar_P: Tensor, pillars: int) -> Tensor:
        """The values at which the maximum of each pillar starts, [Q, C].

        Features are non-negative, so zero changes nothing; a padded point adds its own feature.
        """
        weight_C = self.norm.weight
        zero_QC = weight_C.new_zeros(pillars, len(weight_C))
        if not self.limit:
            return zero_QC
        norm = self.norm
        statistics = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        padded_1C = torch.relu(F.batch_norm(self.padding_C[None], *statistics, eps=norm.eps))
        short_Q = torch.bincount(pillar_P, minlength=pillars) < self.limit
        return torch.where(short_Q[:, None], padded_1C, zero_QC)

    @torch.no_grad()
    def _assign(self, points_PI: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Points inside the range, the index of each point's canvas cell, and the centre of the cell."""
        all_PI = _flagged(torch.cat(points_PI))
        sizes = torch.tensor([len(cloud_PI) for cloud_PI in points_PI], device=all_PI.device)
        sample_P = torch.arange(len(points_PI), device=all_PI.device).repeat_interleave(sizes)
        cell_P2 = torch.floor((all_PI[:, :2] + self.half_extent_m) / self.pillar_m)
        inside_P = ((cell_P2 >= 0) & (cell_P2 < self.pillars)).all(dim=1)
        inside_P &= (all_PI[:, 2] >= self.z_range_m[0]) & (all_PI[:, 2] < self.z_range_m[1])
        cell_P2 = cell_P2[inside_P]
        column_P, row_P = cell_P2.long().unbind(dim=1)
        cell_P = (sample_P[inside_P] * self.pillars + row_P) * self.pillars + column_P
        centre_P2 = (cell_P2 + 0.5) * self.pillar_m - self.half_extent_m
        if not self.limit:
            return all_PI[inside_P], cell_P, centre_P2
        first_P = rank_in_cell(cell_P) < self.limit
        return all_PI[inside_P][first_P], cell_P[first_P], centre_P2[first_P]


def rank_in_cell(cell_P: Tensor) -> Tensor:
    """How many earlier points lie in the same cell."""
    sorted_P, order_P = torch.sort(cell_P, stable=True)
    place_P = torch.arange(len(cell_P), device=cell_P.device)
    return torch.empty_like(place_P).scatter_(0, order_P, place_P - torch.searchsorted(sorted_P, sorted_P))


def _flagged(points_PI: Tensor) -> Tensor:
    """Convert the flag to that of the published pillar network: 1 for virtual points, 0 for all others."""
    if points_PI.shape[1] <= FLAG:
        return points_PI
    virtual_P1 = (points_PI[:, FLAG : FLAG + 1] == VIRTUAL).to(points_PI.dtype)
    return torch.cat([points_PI[:, :FLAG], virtual_P1, points_PI[:, FLAG + 1 :]], dim=1)


@torch.no_grad()
def decorate(points_PI: Tensor, pillar_P: Tensor, centre_P2: Tensor, pillars: int) -> Tensor:
    """Append the offsets to the mean of the pillar's points and to the pillar's centre."""
    xyz1_P4 = torch.cat([points_PI[:, :3], torch.ones_like(points_PI[:, :1])], dim=1)
    sums_Q4 = points_PI.new_zeros(pillars, 4).index_add_(0, pillar_P, xyz1_P4)
    mean_P3 = (sums_Q4[:, :3] / sums_Q4[:, 3:])[pillar_P]
    return torch.cat([points_PI, points_PI[:, :3] - mean_P3, points_PI[:, :2] - centre_P2], dim=1)
