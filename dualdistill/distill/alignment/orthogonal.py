"""VkD's projector, used by AOA: a linear map with orthonormal rows or columns, then a learned scale and bias.

Axes: B batch, N cells as tokens, C student channels, T teacher channels.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize


class OrthogonalProjection(nn.Module):
    """s * (W Y) + b per position, with W W^T = I for T <= C and W^T W = I for T > C."""

    fixed_diagonal: ClassVar[bool] = True

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        initial_TC = self.linear.weight.detach().clone()
        if self.fixed_diagonal:
            parametrize.register_parametrization(self.linear, "weight", FixedDiagonal())
        parametrizations.orthogonal(self.linear)
        self.linear.weight = initial_TC  # the parametrizations make it orthogonal
        self.scale_T = nn.Parameter(torch.ones(outputs))
        self.bias_T = nn.Parameter(torch.zeros(outputs))

    def forward(self, tokens_BNC: Tensor) -> Tensor:
        return self.scale_T * self.linear(tokens_BNC) + self.bias_T


class ReleasedProjection(OrthogonalProjection):
    """The map as released, a control: weight decay soon makes W zero, and the output is b everywhere."""

    fixed_diagonal = False


class FixedDiagonal(nn.Module):
    """A fixed diagonal of -1 in the trained parameter, its initial value in torch's Householder form.

    torch reads the diagonal as signs by rounding toward zero: as soon as weight decay has moved it from -1 by
    the last digit, in the eighth step of the published warm-up, the signs become 0, and W stays 0.
    """

    def forward(self, parameter_TC: Tensor) -> Tensor:
        diagonal_TC = torch.eye(*parameter_TC.shape, dtype=parameter_TC.dtype, device=parameter_TC.device)
        return parameter_TC * (1 - diagonal_TC) - diagonal_TC

    def right_inverse(self, parameter_TC: Tensor) -> Tensor:
        return parameter_TC
