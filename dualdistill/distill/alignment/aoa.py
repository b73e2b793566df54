"""AOA, attention-guided orthogonal alignment, the alignment of DualDistill.

The query is a learned table that does not depend on the input, so the attention is a learned mixing of
positions; the orthogonal map keeps lengths and angles within the subspace that it projects to. Two controls
have one half each: `attention` replaces the orthogonal map by a linear layer, `orthogonal` has no attention.
A third, `aoa_released`, has the orthogonal map as released.
Axes: B batch, N cells as tokens, C student channels, T teacher channels, H W BEV rows and columns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dualdistill.distill.alignment.orthogonal import OrthogonalProjection, ReleasedProjection
from dualdistill.distill.alignment.upsample_conv import upsample
from dualdistill.distill.inputs import Shape

PROJECTIONS = {"aoa": OrthogonalProjection, "aoa_released": ReleasedProjection, "attention": nn.Linear}


class AOA(nn.Module):
    """Cross-attention from a learned query, feed-forward, one of PROJECTIONS, upsampling."""

    def __init__(
        self, student: Shape, teacher: Shape, *, out_act: str = "none", projection: str = "aoa"
    ) -> None:
        super().__init__()
        channels, height, width = student
        self.size_HW = teacher[1:]
        self.embed = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
        )
        self.position_CHW = nn.Parameter(torch.zeros(channels, height, width))
        self.query_CHW = nn.Parameter(torch.randn(channels, height, width))
        self.query_map = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU())
        self.attention = nn.MultiheadAttention(channels, heads_for(channels), batch_first=True)
        self.norm = nn.LayerNorm(channels)
        self.feed_forward = nn.Sequential(
            nn.Linear(channels, 4 * channels), nn.ReLU(), nn.Linear(4 * channels, channels)
        )
        self.project = PROJECTIONS[projection](channels, teacher[0])
        self.out_act = nn.ReLU() if out_act == "relu" else nn.Identity()

    def forward(self, student_BCHW: Tensor) -> Tensor:
        batch, _, height, width = student_BCHW.shape
        source_BNC = tokens(self.embed(student_BCHW) + self.position_CHW)
        query_BNC = tokens(self.query_map(self.query_CHW[None])).expand(batch, -1, -1)
        mixed_BNC = self.norm(self.attention(query_BNC, source_BNC, source_BNC, need_weights=False)[0])
        mixed_BNC = mixed_BNC + self.feed_forward(mixed_BNC)
        # The published order upsamples first. The projection mixes channels and adds a bias, upsampling mixes
        # positions with weights that sum to 1: both orders are equal, and this one has a 16th of the work.
        aligned_BTHW = self.project(mixed_BNC).transpose(1, 2).unflatten(2, (height, width))
        return self.out_act(upsample(aligned_BTHW, self.size_HW))


def tokens(feature_BCHW: Tensor) -> Tensor:
    """[B, C, H, W] to [B, N, C], row by row."""
    return feature_BCHW.flatten(2).transpose(1, 2)


def heads_for(channels: int, at_most: int = 8) -> int:
    """Eight attention heads, or the largest number that divides the channels of a slim model."""
    return next(heads for heads in range(at_most, 0, -1) if channels % heads == 0)


class OrthogonalOnly(nn.Module):
    """s * (W F) + b per position, then upsampling; positions are not mixed otherwise."""

    def __init__(self, student: Shape, teacher: Shape, *, out_act: str = "none") -> None:
        super().__init__()
        self.size_HW = teacher[1:]
        self.project = OrthogonalProjection(student[0], teacher[0])
        self.out_act = nn.ReLU() if out_act == "relu" else nn.Identity()

    def forward(self, student_BCHW: Tensor) -> Tensor:
        mapped_BNT = self.project(tokens(student_BCHW))
        aligned_BTHW = mapped_BNT.transpose(1, 2).unflatten(2, student_BCHW.shape[2:])
        return self.out_act(upsample(aligned_BTHW, self.size_HW))
