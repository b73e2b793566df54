"""Targets of a CenterHead for a batch of boxes: Gaussian heatmaps and regression values.

Axes: B batch, K boxes of the whole batch, G classes, Y X rows and columns of the BEV grid.
The same numbers as mmdet3d's loop over boxes, computed for all boxes at once. Two differences: a centre left
of or below the grid by less than a cell is dropped (the library truncates towards zero, so it keeps it), and
there is no limit of 500 boxes, as no fixed number of slots is filled.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dualdistill.config.nuscenes import CLASSES
from dualdistill.config.run_spec import GridSpec

MIN_OVERLAP = 0.1  # of a box with one whose corners are moved by the radius
MIN_RADIUS = 2  # cells


@dataclass(frozen=True)
class Targets:
    """Heatmaps of all classes, and for every box inside the grid its cell and its ten regression values."""

    heatmap_BGYX: Tensor
    sample_K: Tensor
    label_K: Tensor
    row_K: Tensor
    column_K: Tensor
    values_K10: Tensor  # dx, dy in cells; z; log l, w, h; sin, cos yaw; vx, vy


def gaussian_radius(length_K: Tensor, width_K: Tensor, overlap: float = MIN_OVERLAP) -> Tensor:
    """Smallest of CornerNet's three radii, in the unit of length and width."""
    total_K, area_K = length_K + width_K, length_K * width_K
    both_K = (total_K + (total_K**2 - 4 * area_K * (1 - overlap) / (1 + overlap)).sqrt()) / 2
    inside_K = total_K + (total_K**2 - 4 * area_K * (1 - overlap)).sqrt()
    outside_K = ((overlap * total_K) ** 2 + 4 * overlap * (1 - overlap) * area_K).sqrt() - overlap * total_K
    return torch.minimum(torch.minimum(both_K, inside_K), outside_K)


@torch.no_grad()
def centre_targets(boxes_K9: tuple[Tensor, ...], labels_K: tuple[Tensor, ...], grid: GridSpec) -> Targets:
    """Targets of a batch; a velocity that is NaN stays NaN."""
    boxes, labels = torch.cat(boxes_K9).float(), torch.cat(labels_K)
    sample_K = torch.cat([torch.full_like(sample_labels_K, i) for i, sample_labels_K in enumerate(labels_K)])
    centre_K2 = (boxes[:, :2] + grid.half_extent_m) / grid.cell_m
    cell_K2 = centre_K2.floor()
    valid_K = ((cell_K2 >= 0) & (cell_K2 < grid.cells)).all(dim=1) & (boxes[:, 3:6] > 0).all(dim=1)
    boxes, labels, sample_K = boxes[valid_K], labels[valid_K], sample_K[valid_K]
    centre_K2, cell_K2 = centre_K2[valid_K], cell_K2[valid_K]
    yaw_K1 = boxes[:, 6:7]
    values = [
        centre_K2 - cell_K2,
        boxes[:, 2:3],
        boxes[:, 3:6].log(),
        yaw_K1.sin(),
        yaw_K1.cos(),
        boxes[:, 7:9],
    ]
    column_K, row_K = cell_K2.long().unbind(dim=1)
    radius_K = (
        gaussian_radius(boxes[:, 3] / grid.cell_m, boxes[:, 4] / grid.cell_m).floor().clamp(min=MIN_RADIUS)
    )
    heatmap = boxes.new_zeros(len(boxes_K9), len(CLASSES), grid.cells, grid.cells)
    _draw(heatmap, sample_K * len(CLASSES) + labels, row_K, column_K, radius_K.long())
    return Targets(heatmap, sample_K, labels, row_K, column_K, torch.cat(values, dim=1))


def _draw(heatmap_BGYX: Tensor, plane_K: Tensor, row_K: Tensor, column_K: Tensor, radius_K: Tensor) -> None:
    """Raise the heatmap to a Gaussian around every centre, cut off at its radius."""
    if not len(radius_K):
        return
    cells = heatmap_BGYX.shape[-1]
    # at most the map: a teacher may predict a box of any size
    reach = min(int(radius_K.max()), cells - 1)
    step = torch.arange(-reach, reach + 1, device=radius_K.device)
    dy, dx = (offset.flatten() for offset in torch.meshgrid(step, step, indexing="ij"))
    row_KO, column_KO = row_K[:, None] + dy, column_K[:, None] + dx
    drawn_KO = torch.maximum(dy.abs(), dx.abs()) <= radius_K[:, None]
    drawn_KO &= (row_KO >= 0) & (row_KO < cells) & (column_KO >= 0) & (column_KO < cells)
    sigma_K1 = (2 * radius_K[:, None] + 1) / 6
    value_KO = torch.exp(-(dy**2 + dx**2) / (2 * sigma_K1**2))
    index_KO = (plane_K[:, None] * cells + row_KO) * cells + column_KO
    heatmap_BGYX.view(-1).scatter_reduce_(0, index_KO[drawn_KO], value_KO[drawn_KO], "amax")
