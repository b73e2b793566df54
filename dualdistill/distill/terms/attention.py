"""Attention over cells and channels: weights that grow with the magnitude of a map.

Axes: B batch, C channels, H W BEV rows and columns, N = H x W cells.
"""

from __future__ import annotations

from torch import Tensor


def spatial_attention(feature_BCHW: Tensor, tau: float) -> Tensor:
    """A_X = HW softmax_p(mean_c |F_X(c, p)| / tau): sums to the number of cells."""
    strength_BHW = feature_BCHW.abs().mean(dim=1)
    shares_BN = (strength_BHW.flatten(1) / tau).softmax(dim=1)
    return shares_BN.view_as(strength_BHW) * shares_BN.shape[1]


def mean_attention(student_BCHW: Tensor, teacher_BCHW: Tensor, tau: float) -> Tensor:
    """A = (A_T + A_S) / 2, detached, since it is a weight and not trained."""
    attention_BHW = (spatial_attention(teacher_BCHW, tau) + spatial_attention(student_BCHW, tau)) / 2
    return attention_BHW.detach()


def channel_attention(teacher_BCHW: Tensor, tau: float) -> Tensor:
    """k_c = C softmax_c(mean_p |F_T(c, p)| / tau)."""
    strength_BC = teacher_BCHW.abs().mean(dim=(2, 3))
    return (strength_BC / tau).softmax(dim=1) * strength_BC.shape[1]
