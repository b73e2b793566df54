"""Dynamic pillars: no limit on the number of points or pillars.

Axes: P points of the whole batch, I point columns, C channels, Q occupied pillars of the batch,
Y X rows and columns of the canvas.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dualdistill.config.run_spec import GridSpec, TeacherSpec
from dualdistill.data.batch import FLAG, VIRTUAL

OFFSETS = 5  # three to the pillar's mean point, two to its centre


class PillarEncoder(nn.Module):
    """Points -> canvas of pillar features, [B, C, Y, X]."""

    def __init__(self, spec: TeacherSpec, grid: GridSpec, columns: int = TeacherSpec.columns) -> None:
        super().__init__()
        self.half_extent_m, self.pillar_m, self.z_range_m = grid.half_extent_m, spec.pillar_m, spec.z_range_m
        self.pillars = round(2 * grid.half_extent_m / spec.pillar_m)
        self.linear = nn.Linear(columns + OFFSETS, spec.pillar_channels, bias=False)
        self.norm = nn.BatchNorm1d(spec.pillar_channels, eps=1e-3, momentum=0.01)

    def forward(self, points_PI: tuple[Tensor, ...]) -> Tensor:
        kept_PI, cell_P, centre_P2 = self._assign(points_PI)
        cell_Q, pillar_P = torch.unique(cell_P, return_inverse=True)
        features_PI = decorate(kept_PI, pillar_P, centre_P2, len(cell_Q))
        # bfloat16 would round x and y to 25 cm at the edge of the grid; mmdet3d 0.17 has force_fp32 here
        with torch.autocast(features_PI.device.type, enabled=False):
            features_PC = torch.relu(self.norm(self.linear(features_PI)))
        channels = features_PC.shape[1]
        # features are non-negative, so starting the maximum at zero changes nothing
        pillars_QC = features_PC.new_zeros(len(cell_Q), channels).scatter_reduce(
            0, pillar_P[:, None].expand_as(features_PC), features_PC, "amax"
        )
        canvas_BYXC = features_PC.new_zeros(len(points_PI) * self.pillars**2, channels)
        canvas_BYXC = canvas_BYXC.index_copy(0, cell_Q, pillars_QC)
        return canvas_BYXC.view(-1, self.pillars, self.pillars, channels).permute(0, 3, 1, 2)

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
        return all_PI[inside_P], cell_P, (cell_P2 + 0.5) * self.pillar_m - self.half_extent_m


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
