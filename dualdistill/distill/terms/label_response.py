"""LabelDistill's response losses: the student head's outputs against the teacher head's.

Axes: B batch, H W BEV rows and columns, N classes, K boxes of the whole batch.
"""

from __future__ import annotations

import torch
from mmdet.models.losses.gaussian_focal_loss import gaussian_focal_loss
from torch import Tensor

from dualdistill.distill.inputs import Predictions
from dualdistill.distributed import normaliser
from dualdistill.models.center_head import BOX_WEIGHT, REGRESSION, by_task, in_tasks
from dualdistill.models.center_targets import Targets

PROBABLE = (1e-4, 1 - 1e-4)  # avoids log(0)


def heatmap_response(student: Predictions, teacher: Predictions, heatmap_BNHW: Tensor) -> Tensor:
    """Focal loss against teacher score x ground-truth heatmap, over the number of peaks, summed over tasks.

    As released: a focal loss has positive cells only where the target is 1, which the product never is, so
    the loss only lowers scores, least where teacher and ground truth agree.
    """
    student_BNHW, teacher_BNHW = (
        torch.cat([task["heatmap"] for task in tasks], 1) for tasks in (student, teacher)
    )
    target_BNHW = teacher_BNHW.sigmoid().clamp(*PROBABLE) * heatmap_BNHW
    score_BNHW = student_BNHW.sigmoid().clamp(*PROBABLE)
    loss_BNHW = gaussian_focal_loss(score_BNHW, target_BNHW, reduction="none")
    loss_N, peaks_N = loss_BNHW.sum(dim=(0, 2, 3)), heatmap_BNHW.eq(1).sum(dim=(0, 2, 3))
    return (by_task(loss_N) / normaliser(by_task(peaks_N))).sum()


def box_response(student: Predictions, teacher: Predictions, targets: Targets, history_s_B: Tensor) -> Tensor:
    """L1 of all ten values at the ground-truth centres, over the number of boxes, summed over tasks.

    The teacher's velocity becomes the displacement that the student regresses; it is not compared where the
    targets have none.
    """
    losses = []
    tasks_K = in_tasks(targets.label_K)
    counts = normaliser(torch.stack([in_task_K.sum() for in_task_K in tasks_K]))
    for ours, theirs, in_task_K, count in zip(student, teacher, tasks_K, counts, strict=True):
        sample_K, known_K10 = targets.sample_K[in_task_K], ~targets.values_K10[in_task_K].isnan()
        at_K = (sample_K, slice(None), targets.row_K[in_task_K], targets.column_K[in_task_K])
        theirs = theirs | {"vel": theirs["vel"] * history_s_B[:, None, None, None]}
        student_K10, teacher_K10 = (
            torch.cat([task[name][at_K] for name in REGRESSION], 1) for task in (ours, theirs)
        )
        losses.append(((student_K10 - teacher_K10).abs() * known_K10).sum() / count)
    return BOX_WEIGHT * torch.stack(losses).sum()
