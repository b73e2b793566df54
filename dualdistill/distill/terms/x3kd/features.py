"""X-FD, cross-modal feature distillation: the student's BEV map imitates the LiDAR teacher's.

Axes: B batch, C channels, H W BEV rows and columns.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from dualdistill.distributed import normaliser


def adapter(inputs: int, outputs: int) -> nn.Sequential:
    """A small network from the student's channels to the teacher's."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 1),
    )


def feature_loss(
    aligned_BCHW: Tensor, teacher_BCHW: Tensor, counted_BHW: Tensor, norm: Literal["l1", "l2"]
) -> Tensor:
    """1/N sum over the N cells that count of mean_c |F_S - F_T| or of mean_c (F_S - F_T)^2."""
    error_BCHW = aligned_BCHW - teacher_BCHW
    error_BHW = (error_BCHW.abs() if norm == "l1" else error_BCHW.square()).mean(dim=1)
    return (error_BHW * counted_BHW).sum() / normaliser(counted_BHW.sum())
