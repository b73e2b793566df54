"""X-OD, output distillation: the teacher's heatmap and boxes are targets where its score is high.

A cell of one class's heatmap counts if the teacher's score exceeds a threshold. Both terms are sums over
these cells of all tasks, divided by their number in the batch.
Axes: B batch, G classes of a task, Y X BEV rows and columns, K cells that count, R regression values.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dualdistill.data.batch import SHORTEST_HISTORY_S
from dualdistill.distill.inputs import Predictions
from dualdistill.distributed import normaliser
from dualdistill.models.center_head import REGRESSION

BETA = 2.0  # of the quality focal loss


def output_losses(
    student: Predictions, teacher: Predictions, history_s_B: Tensor, threshold: float
) -> tuple[Tensor, Tensor]:
    """Score loss and box loss without their weight."""
    score, box = history_s_B.new_zeros(()), history_s_B.new_zeros(())
    cells = 0
    for ours, theirs in zip(student, teacher, strict=True):
        score_BGYX = theirs["heatmap"].sigmoid()
        sample_K, class_K, row_K, column_K = (score_BGYX > threshold).nonzero(as_tuple=True)
        score_K = score_BGYX[sample_K, class_K, row_K, column_K]
        logit_K = ours["heatmap"][sample_K, class_K, row_K, column_K]
        at_K = sample_K, row_K, column_K
        score = score + quality_focal(logit_K, score_K).sum()
        box = box + (score_K * box_error(ours, theirs, history_s_B, at_K)).sum()
        cells += len(score_K)
    count = normaliser(cells)
    return score / count, box / count


def quality_focal(logit_K: Tensor, score_K: Tensor) -> Tensor:
    """|y - p|^beta times the cross-entropy with the soft target y (Li et al., NeurIPS 2020)."""
    entropy_K = functional.binary_cross_entropy_with_logits(logit_K, score_K, reduction="none")
    return (score_K - logit_K.sigmoid()).abs() ** BETA * entropy_K


def box_error(
    student: dict[str, Tensor], teacher: dict[str, Tensor], history_s_B: Tensor, at_K: tuple[Tensor, ...]
) -> Tensor:
    """L1 over all regression values of a cell.

    The teacher's m/s become the metres since the previous frame that the student regresses; velocity, the
    last two values, does not count where the two frames are the same.
    """
    sample_K, row_K, column_K = at_K
    student_KR, teacher_KR = (
        torch.cat([task[name][sample_K, :, row_K, column_K] for name in REGRESSION], dim=1)
        for task in (student, teacher)
    )
    same_K1 = history_s_B[sample_K, None].abs() < SHORTEST_HISTORY_S
    motion_K2 = teacher_KR[:, -2:] * history_s_B[sample_K, None]
    motion_K2 = torch.where(same_K1, student_KR[:, -2:].detach(), motion_K2)
    return (student_KR - torch.cat([teacher_KR[:, :-2], motion_K2], dim=1)).abs().sum(dim=1)
