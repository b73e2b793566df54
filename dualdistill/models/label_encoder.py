"""The label encoder of LabelDistill: an approximate inverse of a teacher's neck and head.

Encodes ground-truth boxes as teacher features; the frozen neck and head must decode the same boxes from them.
Axes: B batch, G classes, C channels, Y X rows and columns of the BEV grid.
"""

from __future__ import annotations

import torch
from mmdet.models.backbones.resnet import BasicBlock
from torch import Tensor, nn

from dualdistill.config.nuscenes import CLASSES
from dualdistill.config.run_spec import GridSpec, LabelEncoderSpec
from dualdistill.data.batch import Batch
from dualdistill.errors import UserError
from dualdistill.models.label_painting import BOX, paint


class LabelEncoder(nn.Module):
    """Boxes and classes -> the teacher's taps t1, t2, t3."""

    needs_images, needs_points = False, False

    def __init__(
        self, spec: LabelEncoderSpec, grid: GridSpec, teacher_shapes: dict[str, tuple[int, int, int]]
    ) -> None:
        super().__init__()
        self.spec, self.grid, width = spec, grid, spec.channels
        self.box, self.label = _perceptron(BOX, width), _perceptron(len(CLASSES), width)
        self.join = nn.Sequential(_perceptron(width, width), nn.LayerNorm(width))
        self.mix = BasicBlock(width, width)
        self.shapes = {tap: shape for tap, shape in teacher_shapes.items() if tap != "neck"}
        # a map finer than the painted cells stays zero: no student imitates one that fine
        self.branches = nn.ModuleDict(
            {tap: _branch(width, shape, grid) for tap, shape in self.shapes.items() if shape[1] <= grid.cells}
        )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        boxes_BYX9, classes_BYXG = paint(batch.boxes_K9, batch.labels_K, self.grid, self.spec.painting)
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
