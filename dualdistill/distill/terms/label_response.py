"""LabelDistill's responses: what the student's head says, against what the teacher's says.

Axes: B batch, H W BEV rows and columns, N classes, K boxes of the whole batch.
"""

from __future__ import annotations

import torch
from mmdet.models.losses.gaussian_focal_loss import gaussian_focal_loss
from torch import Tensor

from dualdistill.models.center_head import BOX_WEIGHT, FIRST_LABEL, REGRESSION, TASK_SIZES
from dualdistill.models.center_targets import Targets

Predictions = list[dict[str, Tensor]]  # of a head, one per task
PROBABLE = (1e-4, 1 - 1e-4)  # a score is never quite sure


def heatmap_response(student: Predictions, teacher: Predictions, truth_BNHW: Tensor) -> Tensor:
    """Focal loss against teacher x truth, by the number of true peaks, summed over tasks.

    As released: the product never reaches one, which alone would make a cell a positive one. So the loss
    pulls scores down, least where teacher and truth agree, and never pushes them up.
    """
    logits_BNHW, taught_BNHW = (torch.cat([task["heatmap"] for task in own], 1) for own in (student, teacher))
    target_BNHW = taught_BNHW.sigmoid().clamp(*PROBABLE) * truth_BNHW
    score_BNHW = logits_BNHW.sigmoid().clamp(*PROBABLE)
    loss_BNHW = gaussian_focal_loss(score_BNHW, target_BNHW, reduction="none")
    loss_N, peaks_N = loss_BNHW.sum(dim=(0, 2, 3)), truth_BNHW.eq(1).sum(dim=(0, 2, 3))
    tasks = zip(loss_N.split(TASK_SIZES), peaks_N.split(TASK_SIZES), strict=True)
    return torch.stack([loss.sum() / peaks.sum().clamp(min=1) for loss, peaks in tasks]).sum()


def box_response(student: Predictions, teacher: Predictions, targets: Targets, history_s_B: Tensor) -> Tensor:
    """L1 of all ten values at the true centres, by the number of boxes, summed over tasks.

    The teacher's velocity becomes the displacement that the student regresses; where the targets know none,
    neither is compared.
    """
    tasks = []
    for own, taught, first, size in zip(student, teacher, FIRST_LABEL, TASK_SIZES, strict=True):
        here_K = (targets.label_K >= first) & (targets.label_K < first + size)
        sample_K, known_K10 = targets.sample_K[here_K], ~targets.values_K10[here_K].isnan()
        place = (sample_K, slice(None), targets.row_K[here_K], targets.column_K[here_K])
        taught = taught | {"vel": taught["vel"] * history_s_B[:, None, None, None]}
        own_K10, taught_K10 = (
            torch.cat([said[name][place] for name in REGRESSION], 1) for said in (own, taught)
        )
        tasks.append(((own_K10 - taught_K10).abs() * known_K10).sum() / max(1, len(sample_K)))
    return BOX_WEIGHT * torch.stack(tasks).sum()
