"""DistillBEV's regions: the weight of each cell in an imitation loss.

fg: cells inside a ground-truth box; fp: cells where the teacher predicts an object that is not there; tn: all
others. Cells are sampled at their lower corner instead of their centre, the published half-cell shift.
Axes: B batch, H W BEV rows (y) and columns (x), K boxes, N classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dualdistill.config.run_spec import GridSpec


@dataclass(frozen=True)
class Regions:
    """S * mask of each region: its adaptive scale inside, zero outside."""

    fg_BHW: Tensor
    fp_BHW: Tensor
    tn_BHW: Tensor

    @staticmethod
    def joined(samples: Sequence[Regions]) -> Regions:
        """The regions of single samples as those of a batch."""
        scales = ((sample.fg_BHW, sample.fp_BHW, sample.tn_BHW) for sample in samples)
        return Regions(*map(torch.cat, zip(*scales, strict=True)))

    def split(self) -> tuple[Regions, ...]:
        """The regions of each sample."""
        scales = zip(self.fg_BHW.split(1), self.fp_BHW.split(1), self.tn_BHW.split(1), strict=True)
        return tuple(Regions(*sample) for sample in scales)

    def spread(self) -> Regions:
        """The same total weights, spread evenly over each sample's map."""
        even = (
            scale_BHW.mean(dim=(1, 2), keepdim=True).expand_as(scale_BHW)
            for scale_BHW in (self.fg_BHW, self.fp_BHW, self.tn_BHW)
        )
        return Regions(*even)


def regions(
    boxes_K9: tuple[Tensor, ...], grid: GridSpec, size_HW: tuple[int, int], fp_BHW: Tensor
) -> Regions:
    """The three disjoint regions of a map; cells of `fp_BHW` inside boxes are dropped."""
    fg_BHW = torch.stack([foreground_scale(boxes, grid, size_HW) for boxes in boxes_K9])
    inside_BHW = fg_BHW > 0
    fp_BHW = fp_BHW & ~inside_BHW
    return Regions(fg_BHW, count_scale(fp_BHW), count_scale(~inside_BHW & ~fp_BHW))


def foreground_scale(boxes_K9: Tensor, grid: GridSpec, size_HW: tuple[int, int]) -> Tensor:
    """S_fg(p) = sqrt(cell area / (w l)) of the first box that contains p, zero outside boxes."""
    if not len(boxes_K9):
        return boxes_K9.new_zeros(size_HW)
    inside_KHW = inside_boxes(boxes_K9, grid, size_HW)
    first_HW = inside_KHW.int().argmax(dim=0)
    cell_area_m2 = (2 * grid.half_extent_m) ** 2 / (size_HW[0] * size_HW[1])
    scale_K = (cell_area_m2 / (boxes_K9[:, 3] * boxes_K9[:, 4])).sqrt()
    return torch.where(inside_KHW.any(dim=0), scale_K[first_HW], 0.0)


def inside_boxes(boxes_K9: Tensor, grid: GridSpec, size_HW: tuple[int, int]) -> Tensor:
    """[K, H, W], true where the lower corner of the cell lies in the rotated box."""
    y_HW, x_HW = torch.meshgrid(*(lower_corners(cells, grid, boxes_K9) for cells in size_HW), indexing="ij")
    x_K, y_K, length_K, width_K, yaw_K = (boxes_K9[:, column, None, None] for column in (0, 1, 3, 4, 6))
    dx_KHW, dy_KHW = x_HW - x_K, y_HW - y_K
    along_KHW = dx_KHW * yaw_K.cos() + dy_KHW * yaw_K.sin()
    across_KHW = dy_KHW * yaw_K.cos() - dx_KHW * yaw_K.sin()
    return (along_KHW.abs() <= length_K / 2) & (across_KHW.abs() <= width_K / 2)


def lower_corners(cells: int, grid: GridSpec, like: Tensor) -> Tensor:
    """Coordinate in metres of the lower corners of `cells` cells across the grid."""
    index = torch.arange(cells, dtype=like.dtype, device=like.device)
    return index * (2 * grid.half_extent_m / cells) - grid.half_extent_m


def count_scale(mask_BHW: Tensor) -> Tensor:
    """S_fp and S_tn: one over the number of a sample's cells in the region, zero if there are none."""
    return mask_BHW / mask_BHW.sum(dim=(1, 2), keepdim=True).clamp(min=1)


def false_positives(target_BNHW: Tensor, teacher_logits_BNHW: Tensor, threshold: float) -> Tensor:
    """Cells where the teacher's best class scores above the threshold and every Gaussian target is below."""
    above_BHW = teacher_logits_BNHW.sigmoid().amax(dim=1) > threshold
    return above_BHW & (target_BNHW.amax(dim=1) < threshold)


def resize_mask(mask_BHW: Tensor, size_HW: tuple[int, int]) -> Tensor:
    """A mask on another grid: max-pooled to a coarser one, repeated to a finer one."""
    mask_B1HW = mask_BHW[:, None].float()
    if size_HW[0] < mask_BHW.shape[1]:
        resized_B1HW = functional.adaptive_max_pool2d(mask_B1HW, size_HW)
    else:
        resized_B1HW = functional.interpolate(mask_B1HW, size=size_HW, mode="nearest")
    return resized_B1HW[:, 0] > 0
