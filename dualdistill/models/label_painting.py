"""The input of a label encoder: boxes and classes painted into the cells of the BEV grid.

Axes: B batch, K boxes, G classes, Y X rows and columns of the BEV grid.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from skimage.draw import polygon
from torch import Tensor
from torch.nn import functional

from dualdistill.config.nuscenes import CLASSES
from dualdistill.config.run_spec import GridSpec

BOX = 9  # columns
CORNERS = ((1, 1), (1, -1), (-1, -1), (-1, 1))  # along and across the heading


@torch.no_grad()
def paint(
    boxes_K9: tuple[Tensor, ...],
    labels_K: tuple[Tensor, ...],
    grid: GridSpec,
    painting: Literal["exact", "released"],
) -> tuple[Tensor, Tensor]:
    """Box of every cell, unnormalised, and its one-hot class; both zero without a box."""
    boxes, classes = [], []
    for sample_K9, sample_labels_K in zip(boxes_K9, labels_K, strict=True):
        if painting == "released":
            owner_YX = released_owners(sample_K9, sample_labels_K, grid)
        else:
            owner_YX = exact_owners(sample_K9, grid)
        # row 0 stands for no box; an unknown velocity is NaN
        boxes.append(functional.pad(sample_K9.nan_to_num(), (0, 0, 1, 0))[owner_YX])
        one_hot_KG = functional.one_hot(sample_labels_K, len(CLASSES)).to(sample_K9.dtype)
        classes.append(functional.pad(one_hot_KG, (0, 0, 1, 0))[owner_YX])
    return torch.stack(boxes), torch.stack(classes)


def exact_owners(boxes_K9: Tensor, grid: GridSpec) -> Tensor:
    """1 + the index of the last box that covers a cell, 0 for none, [Y, X].

    A box covers the cells whose centre lies in a rectangle of half its length and half its width, and always
    the cell that contains its centre.
    """
    if not len(boxes_K9):
        return torch.zeros(grid.cells, grid.cells, dtype=torch.long, device=boxes_K9.device)
    cell = torch.arange(grid.cells, device=boxes_K9.device)
    centre = (cell + 0.5) * grid.cell_m - grid.half_extent_m
    x_K, y_K, length_K, width_K, yaw_K = (boxes_K9[:, column, None, None] for column in (0, 1, 3, 4, 6))
    dx_KYX, dy_KYX = centre[None, None, :] - x_K, centre[None, :, None] - y_K
    along_KYX = dx_KYX * yaw_K.cos() + dy_KYX * yaw_K.sin()
    across_KYX = dy_KYX * yaw_K.cos() - dx_KYX * yaw_K.sin()
    covers_KYX = (along_KYX.abs() <= length_K / 4) & (across_KYX.abs() <= width_K / 4)
    column_K, row_K = (((centre_K + grid.half_extent_m) / grid.cell_m).floor() for centre_K in (x_K, y_K))
    covers_KYX |= (cell[None, None, :] == column_K) & (cell[None, :, None] == row_K)
    number_K = torch.arange(1, len(boxes_K9) + 1, device=boxes_K9.device)[:, None, None]
    return (covers_KYX * number_K).amax(dim=0)


def released_owners(boxes_K9: Tensor, labels_K: Tensor, grid: GridSpec) -> Tensor:
    """1 + the index of the last box, class after class, that LabelDistill paints a cell with, [Y, X].

    Corners of the same rectangle are cut to whole cells, towards zero; the polygon between them is filled,
    boundary included, and what lies off the grid is moved to its border (labeldistill/utils/bev_mask.py).
    """
    along_K4, across_K4 = (boxes_K9[:, 3:5, None] / 4 * boxes_K9.new_tensor(CORNERS).T).unbind(dim=1)
    cos_K1, sin_K1 = boxes_K9[:, 6:7].cos(), boxes_K9[:, 6:7].sin()
    x_K4 = boxes_K9[:, 0:1] + along_K4 * cos_K1 - across_K4 * sin_K1
    y_K4 = boxes_K9[:, 1:2] + along_K4 * sin_K1 + across_K4 * cos_K1
    column_K4, row_K4 = (
        ((corner_K4 + grid.half_extent_m) / grid.cell_m).int().cpu().numpy() for corner_K4 in (x_K4, y_K4)
    )
    owner_YX = np.zeros((grid.cells, grid.cells), dtype=np.int64)
    for index in labels_K.argsort(stable=True).tolist():
        rows, columns = polygon(row_K4[index], column_K4[index])
        owner_YX[rows.clip(0, grid.cells - 1), columns.clip(0, grid.cells - 1)] = index + 1
    return torch.from_numpy(owner_YX).to(boxes_K9.device)
