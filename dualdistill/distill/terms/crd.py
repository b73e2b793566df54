"""CRD, cross-head response distillation: the loss of the frozen teacher head on the student's features.

The teacher's predictions are decoded at temperature T into boxes, which serve as hard labels. Dividing
logits is monotone, so T moves only the score cut: T = 0.1 with threshold 0.1 keeps what 0.445 keeps at T = 1.
The control `labels: soft` compares the two outputs cell by cell instead, the textbook reading of T. Another,
`crd_head: student`, gives the labels to the student's own head.
Axes: B batch, G classes of a task, C channels, H W BEV rows and columns, K boxes.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from dualdistill.distill.inputs import FeaturePair, Predictions, TeacherFrames
from dualdistill.distributed import normaliser
from dualdistill.models.center_head import BOX_WEIGHT, REGRESSION, Head
from dualdistill.models.student import frame_interval, require

RankBy = Literal["sharpened", "logit"]
Labels = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]  # boxes_K9 and labels_K of every sample


@torch.no_grad()
def teacher_labels(
    frames: TeacherFrames,
    *,
    temperature: float,
    threshold: float,
    rank_by: RankBy,
    nms_iou: float | None = None,
) -> Labels:
    """The teacher's boxes as pseudo labels; sharpened scores tie where they round to 1, logits do not."""
    samples = frames.teacher_head.decode(
        frames.teacher_predictions,
        temperature=temperature,
        score_threshold=threshold,
        rank_by=rank_by,
        nms_iou=nms_iou,
    )
    return tuple(boxes.boxes_K9 for boxes in samples), tuple(boxes.labels_K for boxes in samples)


def ground_truth_labels(frames: TeacherFrames, *, velocity: bool) -> Labels:
    """The annotated boxes, velocities in m/s as in the head; a NaN velocity has no loss."""
    if velocity:
        return frames.boxes_K9, frames.labels_K
    return tuple(without_velocity(boxes_K9) for boxes_K9 in frames.boxes_K9), frames.labels_K


def without_velocity(boxes_K9: Tensor) -> Tensor:
    return torch.cat([boxes_K9[:, :7], torch.full_like(boxes_K9[:, 7:], math.nan)], dim=1)


def in_displacements(pair: FeaturePair) -> Predictions:
    """The teacher's predictions with velocities as the student's head regresses them.

    NaN if the student's two frames are the same.
    """
    seconds_B111 = frame_interval(require(pair.history_s_B, "history_s_B"))[:, None, None, None]
    return [task | {"vel": task["vel"] * seconds_B111} for task in pair.teacher_predictions]


def crd_loss(teacher_head: Head, predictions: Predictions, labels: Labels) -> Tensor:
    """L_CRD: the sum of the teacher head's detection losses of predictions from the student's features."""
    return torch.stack(list(teacher_head.loss(predictions, *labels).values())).sum()


def soft_crd_loss(
    teacher_head: Head, predictions: Predictions, teacher_predictions: Predictions, temperature: float
) -> Tensor:
    """The counterpart of crd_loss with the teacher's raw outputs as targets, summed over tasks."""
    pairs = zip(predictions, teacher_predictions, strict=True)
    velocity_weight = teacher_head.spec.velocity_weight
    return torch.stack([soft_task_loss(*pair, temperature, velocity_weight) for pair in pairs]).sum()


def soft_task_loss(
    student: dict[str, Tensor], teacher: dict[str, Tensor], temperature: float, velocity_weight: float
) -> Tensor:
    """Quality focal loss of the heatmap (beta 1, as in CrossKD) and L1 of the boxes, weighted by score.

    With p = sigmoid(teacher logit / T) and q the student's probability, the heatmap term is sum |p - q|
    BCE(q, p) / max(1, sum p); the L1 of a cell is weighted by its largest p; the normalisers are ours, with
    the sum of p in place of the number of peaks.
    """
    score_BGHW = (teacher["heatmap"] / temperature).sigmoid()
    logits_BGHW = student["heatmap"]
    entropy_BGHW = functional.binary_cross_entropy_with_logits(logits_BGHW, score_BGHW, reduction="none")
    gap_BGHW = (score_BGHW - logits_BGHW.sigmoid()).abs()
    heatmap = (gap_BGHW * entropy_BGHW).sum() / normaliser(score_BGHW.sum())
    best_BHW = score_BGHW.amax(dim=1)
    error_BHW = torch.zeros_like(best_BHW)
    for name in REGRESSION:
        weight = velocity_weight if name == "vel" else 1.0
        known = torch.where(teacher[name].isnan(), student[name].detach(), teacher[name])
        error_BHW = error_BHW + weight * (student[name] - known).abs().sum(dim=1)
    return heatmap + BOX_WEIGHT * (best_BHW * error_BHW).sum() / normaliser(best_BHW.sum())
