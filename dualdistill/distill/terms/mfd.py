"""DistillBEV's feature imitation by region, called MFD in DualDistill.

All terms are sums over cells and channels, divided by the batch size only. tau is the temperature of both
attentions.
Axes: B batch, C channels, H W BEV rows and columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from dualdistill.distill.inputs import LEVELS, FeaturePair, TeacherFrames
from dualdistill.distill.terms.attention import channel_attention, mean_attention, spatial_attention
from dualdistill.distill.terms.regions import Regions, false_positives, regions, resize_mask

TEACHER_TAP = dict(LEVELS)
ALL_TAPS = tuple(TEACHER_TAP)


class MFD(nn.Module):
    """The terms of the chosen levels; its only trained weights are the 3x3 convs of the spatial term."""

    def __init__(
        self,
        taps: Sequence[str] = ALL_TAPS,  # the student's, one per level
        *,
        weight: float,  # multiplies the other four
        fg_weight: float,
        tn_weight: float,
        fp_weight: float,
        spatial_weight: float,
        fp_threshold: float,
        tau: float,
        fp_levels: Literal["head", "all", "none"] = "head",
        by_region: bool = True,  # off: each region's total weight is spread evenly over the map
        student_attention: bool = True,  # off: attention of the teacher only
    ) -> None:
        super().__init__()
        self.fg_weight, self.tn_weight = weight * fg_weight, weight * tn_weight
        self.fp_weight, self.spatial_weight = weight * fp_weight, weight * spatial_weight
        self.fp_threshold, self.tau = fp_threshold, tau
        self.taps = tuple(tap for tap in ALL_TAPS if tap in taps)
        self.fp_taps = {"head": ("head",), "all": ALL_TAPS, "none": ()}[fp_levels]
        self.by_region, self.student_attention = by_region, student_attention
        self.spatial = nn.ModuleDict({tap: nn.Conv2d(1, 1, 3, padding=1) for tap in self.taps})

    def frame_targets(self, frames: TeacherFrames) -> tuple[tuple[Regions, ...], ...]:
        """The regions of each sample, level by level."""
        levels = []
        for tap in self.taps:
            _, _, height, width = frames.teacher_BCHW[TEACHER_TAP[tap]].shape
            levels.append(self.regions(tap, frames, (height, width)).split())
        return tuple(zip(*levels, strict=True))

    def forward(
        self,
        aligned_BCHW: dict[str, Tensor],
        pair: FeaturePair,
        targets: tuple[tuple[Regions, ...], ...],
    ) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        for tap, samples in zip(self.taps, zip(*targets, strict=True), strict=True):
            maps = aligned_BCHW[tap], pair.teacher_BCHW[TEACHER_TAP[tap]]
            terms = self.level(tap, *maps, Regions.joined(samples))
            losses |= {f"mfd_{term}_{tap}": loss for term, loss in terms.items()}
        return losses

    def level(
        self, tap: str, student_BCHW: Tensor, teacher_BCHW: Tensor, region: Regions
    ) -> dict[str, Tensor]:
        """The fg, tn and spatial terms of one level, and the fp term if the level has this region."""
        attention_BHW = self.attention(student_BCHW, teacher_BCHW)
        error_BHW = squared_error(student_BCHW, teacher_BCHW)
        terms = {
            "fg": self.fg_weight * region_loss(attention_BHW, region.fg_BHW, error_BHW),
            "tn": self.tn_weight * region_loss(attention_BHW, region.tn_BHW, error_BHW),
            "spatial": self.spatial_weight * spatial_loss(student_BCHW, teacher_BCHW, self.spatial[tap]),
        }
        if tap in self.fp_taps:
            error_BHW = squared_error(student_BCHW, teacher_BCHW, channel_attention(teacher_BCHW, self.tau))
            terms["fp"] = self.fp_weight * region_loss(attention_BHW, region.fp_BHW, error_BHW)
        return terms

    def regions(self, tap: str, frames: TeacherFrames, size_HW: tuple[int, int]) -> Regions:
        """Weights of the cells in each region of a level."""
        weights = regions(frames.boxes_K9, frames.grid, size_HW, self.fp_cells(tap, frames, size_HW))
        return weights if self.by_region else weights.spread()

    def fp_cells(self, tap: str, frames: TeacherFrames, size_HW: tuple[int, int]) -> Tensor:
        """False positives of the teacher on the level's map; none at a level without this region."""
        logits_BNHW = torch.cat([task["heatmap"] for task in frames.teacher_predictions], dim=1)
        if tap not in self.fp_taps:
            return logits_BNHW.new_zeros((len(logits_BNHW), *size_HW), dtype=torch.bool)
        target_BNHW = frames.teacher_head.heatmaps(frames.boxes_K9, frames.labels_K)
        return resize_mask(false_positives(target_BNHW, logits_BNHW, self.fp_threshold), size_HW)

    def attention(self, student_BCHW: Tensor, teacher_BCHW: Tensor) -> Tensor:
        if self.student_attention:
            return mean_attention(student_BCHW, teacher_BCHW, self.tau)
        return spatial_attention(teacher_BCHW, self.tau)


def squared_error(student_BCHW: Tensor, teacher_BCHW: Tensor, weight_BC: Tensor | None = None) -> Tensor:
    """e(p) = sum_c k_c (F_S - F_T)^2, with k_c = 1 by default."""
    error_BCHW = (student_BCHW - teacher_BCHW).square()
    if weight_BC is None:
        return error_BCHW.sum(dim=1)
    return torch.einsum("bc,bchw->bhw", weight_BC, error_BCHW)


def region_loss(attention_BHW: Tensor, scale_BHW: Tensor, error_BHW: Tensor) -> Tensor:
    """1/B sum_p A S e: L_fg, L_tn and L_fp before their weights."""
    return (attention_BHW * scale_BHW * error_BHW).sum() / len(error_BHW)


def spatial_loss(student_BCHW: Tensor, teacher_BCHW: Tensor, conv3x3: nn.Module) -> Tensor:
    """1/B sum_p |mean_c F_T - conv3x3(mean_c F_S)|: L_sp before its weight."""
    mean_B1HW = teacher_BCHW.mean(dim=1, keepdim=True) - conv3x3(student_BCHW.mean(dim=1, keepdim=True))
    return mean_B1HW.abs().sum() / len(student_BCHW)
