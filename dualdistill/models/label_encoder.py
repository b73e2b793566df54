"""The label encoder of LabelDistill: an approximate inverse of a teacher's neck and head.

Encodes ground-truth boxes as teacher features; the frozen neck and head must decode the same boxes from them.
Axes: B batch, K boxes, G classes, C channels, Y X rows and columns of the BEV grid.
"""

from __future__ import annotations

import torch
from mmdet.models.backbones.resnet import BasicBlock
from torch import Tensor, nn
from torch.nn import functional

from dualdistill.config.nuscenes import CLASSES
from dualdistill.config.run_spec import GridSpec, LabelEncoderSpec
from dualdistill.data.batch import Batch
from dualdistill.errors import UserError

BOX = 9  # columns


class LabelEncoder(nn.Module):
    """Boxes and classes -> the teacher's taps t1, t2, t3."""

    needs_images, needs_points = False, False

    def __init__(
        self, spec: LabelEncoderSpec, grid: GridSpec, teacher_shapes: dict[str, tuple[int, int, int]]
    ) -> None:
        super().__init__()
        self.grid, width = grid, spec.channels
        self.box, self.label = _perceptron(BOX, width), _perceptron(len(CLASSES), width)
        self.join = nn.Sequential(_perceptron(width, width), nn.LayerNorm(width))
        self.mix = BasicBlock(width, width)
        self.shapes = {tap: shape for tap, shape in teacher_shapes.items() if tap != "neck"}
        # a map finer than the painted cells stays zero: no student imitates one that fine
        self.branches = nn.ModuleDict(
            {tap: _branch(width, shape, grid) for tap, shape in self.shapes.items() if shape[1] <= grid.cells}
        )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        boxes_BYX9, classes_BYXG = paint(batch.boxes_K9, batch.labels_K, self.grid)
        # bfloat16 would round x and y to 25 cm at the edge of the grid
        with torch.autocast(boxes_BYX9.device.type, enabled=False):
            joined_BYXC = self.join(self.box(boxes_BYX9) + self.label(classes_BYXG))
        mixed_BCYX = self.mix(joined_BYXC.permute(0, 3, 1, 2).contiguous())
        return {
            tap: self.branches[tap](mixed_BCYX)
            if tap in self.branches
            else mixed_BCYX.new_zeros(len(mixed_BCYX), *shape)
            for tap, shape in self.shapes.items()
        }


def _perceptron(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(inplace=True), nn.Linear(width, width))


def _branch(width: int, shape: tuple[int, int, int], grid: GridSpec) -> nn.Sequential:
    stride = grid.cells // shape[1]
    if stride * shape[1] != grid.cells:
        what = f"a teacher's map of {shape[1]} cells does not divide the grid of {grid.cells}"
        raise UserError(what, where="teacher.pillar_m", hint="a cell must be 1, 2, 4 or 8 pillars wide")
    conv = nn.Conv2d(width, shape[0], 3, stride=stride, padding=1, padding_mode="replicate")
    return nn.Sequential(conv, nn.LayerNorm(shape), nn.ReLU(inplace=True))


@torch.no_grad()
def paint(
    boxes_K9: tuple[Tensor, ...], labels_K: tuple[Tensor, ...], grid: GridSpec
) -> tuple[Tensor, Tensor]:
    """Box of every cell, unnormalised, and its one-hot class; both zero without a box."""
    boxes, classes = [], []
    for sample_K9, sample_labels_K in zip(boxes_K9, labels_K, strict=True):
        owner_YX = owners(sample_K9, grid)
        # row 0 stands for no box; an unknown velocity is NaN
        boxes.append(functional.pad(sample_K9.nan_to_num(), (0, 0, 1, 0))[owner_YX])
        one_hot_KG = functional.one_hot(sample_labels_K, len(CLASSES)).to(sample_K9.dtype)
        classes.append(functional.pad(one_hot_KG, (0, 0, 1, 0))[owner_YX])
    return torch.stack(boxes), torch.stack(classes)


def owners(boxes_K9: Tensor, grid: GridSpec) -> Tensor:
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
