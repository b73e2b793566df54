"""CRD, cross-head response distillation: the frozen teacher head judges the student's features.

The teacher's predictions are decoded at temperature T into boxes, and these serve as hard labels. Dividing
logits is monotone, so T moves only the score cut: T = 0.1 with threshold 0.1 keeps what 0.445 keeps at T = 1.
Axes: B batch, C channels, H W BEV rows and columns, K boxes.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from dualdistill.distill.base import DetectionHead, FeaturePair

RankBy = Literal["sharpened", "logit"]
Labels = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]  # boxes_K9 and labels_K of every sample


@torch.no_grad()
def teacher_labels(pair: FeaturePair, *, temperature: float, threshold: float, rank_by: RankBy) -> Labels:
    """The teacher's boxes as pseudo labels; sharpened scores tie where they round to one, logits do not."""
    found = pair.teacher_head.decode(
        pair.teacher_predictions, temperature=temperature, score_threshold=threshold, rank_by=rank_by
    )
    return tuple(each.boxes_K9 for each in found), tuple(each.labels_K for each in found)


def ground_truth_labels(pair: FeaturePair, *, velocity: bool) -> Labels:
    """The annotated boxes. Velocities are m/s on both sides; NaN takes them out of the loss."""
    if velocity:
        return pair.boxes_K9, pair.labels_K
    return tuple(without_velocity(boxes_K9) for boxes_K9 in pair.boxes_K9), pair.labels_K


def without_velocity(boxes_K9: Tensor) -> Tensor:
    return torch.cat([boxes_K9[:, :7], torch.full_like(boxes_K9[:, 7:], math.nan)], dim=1)


def crd_loss(teacher_head: DetectionHead, aligned_BCHW: Tensor, labels: Labels) -> Tensor:
    """L_CRD = the teacher head's own detection losses, summed, of its outputs for the student's features."""
    losses = teacher_head.loss(teacher_head(aligned_BCHW), *labels)
    return torch.stack(list(losses.values())).sum()
