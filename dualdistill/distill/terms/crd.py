"""CRD, cross-head response distillation: the frozen teacher head judges the student's features.

The teacher's predictions are decoded at temperature T into boxes, and these serve as hard labels. Dividing
logits is monotone, so T moves only the score cut: T = 0.1 with threshold 0.1 keeps what 0.445 keeps at T = 1.
The control `labels: soft` compares the two outputs cell by cell instead, the textbook reading of T.
Axes: B batch, G classes of a task, C channels, H W BEV rows and columns, K boxes.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from dualdistill.distill.inputs import FeaturePair
from dualdistill.models.center_head import BOX_WEIGHT, REGRESSION, Head

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


def crd_loss(teacher_head: Head, aligned_BCHW: Tensor, labels: Labels) -> Tensor:
    """L_CRD = the teacher head's own detection losses, summed, of its outputs for the student's features."""
    losses = teacher_head.loss(teacher_head(aligned_BCHW), *labels)
    return torch.stack(list(losses.values())).sum()


def soft_crd_loss(
    teacher_head: Head,
    aligned_BCHW: Tensor,
    teacher_predictions: list[dict[str, Tensor]],
    temperature: float,
) -> Tensor:
    """The same with the teacher's outputs themselves as targets, summed over tasks."""
    pairs = zip(teacher_head(aligned_BCHW), teacher_predictions, strict=True)
    velocity_weight = teacher_head.spec.velocity_weight
    return torch.stack([soft_task_loss(*pair, temperature, velocity_weight) for pair in pairs]).sum()


def soft_task_loss(
    student: dict[str, Tensor], teacher: dict[str, Tensor], temperature: float, velocity_weight: float
) -> Tensor:
    """Quality focal loss of the heatmap (beta 1, as in CrossKD), L1 of the boxes where the teacher fires.

    With p = sigmoid(teacher logit / T) and q the student's probability, the heatmap term is
    sum |p - q| BCE(q, p) / max(1, sum p); a cell's L1 counts by its largest p. The normalisers are ours: the
    sum of p takes the place of the number of peaks.
    """
    score_BGHW = (teacher["heatmap"] / temperature).sigmoid()
    logits_BGHW = student["heatmap"]
    entropy_BGHW = functional.binary_cross_entropy_with_logits(logits_BGHW, score_BGHW, reduction="none")
    missed_BGHW = (score_BGHW - logits_BGHW.sigmoid()).abs()
    heatmap = (missed_BGHW * entropy_BGHW).sum() / score_BGHW.sum().clamp(min=1)
    fires_BHW = score_BGHW.amax(dim=1)
    error_BHW = torch.zeros_like(fires_BHW)
    for name in REGRESSION:
        weight = velocity_weight if name == "vel" else 1.0
        error_BHW = error_BHW + weight * (student[name] - teacher[name]).abs().sum(dim=1)
    return heatmap + BOX_WEIGHT * (fires_BHW * error_BHW).sum() / fires_BHW.sum().clamp(min=1)
