"""X-AT, adversarial training: a discriminator of the detectors' BEV maps, which the student learns to fool.

The gradient is reversed between the two (Ganin, Lempitsky, Unsupervised Domain Adaptation by Backpropagation,
ICML 2015), so a single loss trains both. Axes: B batch, C channels, H W BEV rows and columns.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

WIDTH = 64  # channels of the discriminator
STUDENT, TEACHER = 0, 1


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, feature: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return feature.view_as(feature)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradients[0], None


def reversed_gradient(feature: Tensor, factor: float) -> Tensor:
    """The identity, whose gradient is multiplied by -factor."""
    reversed_feature: Tensor = _Reversal.apply(feature, factor)
    return reversed_feature


def discriminator(inputs: int, normalised: bool) -> nn.Sequential:
    """Three convolutions of stride 2, global average pooling, two logits."""
    limited = spectral_norm if normalised else lambda layer: layer
    layers: list[nn.Module] = []
    for channels in (inputs, WIDTH, WIDTH):
        layers += [limited(nn.Conv2d(channels, WIDTH, 3, stride=2, padding=1)), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), limited(nn.Linear(WIDTH, 2)))


def domain_loss(
    discriminator: nn.Module, aligned_BCHW: Tensor, teacher_BCHW: Tensor, factor: float
) -> Tensor:
    """Cross-entropy between student and teacher maps, averaged over both detectors' maps of the batch."""
    logits_M2 = discriminator(torch.cat([reversed_gradient(aligned_BCHW, factor), teacher_BCHW]))
    origins = (aligned_BCHW, STUDENT), (teacher_BCHW, TEACHER)
    origin_M = torch.cat([torch.full((len(maps),), index, device=maps.device) for maps, index in origins])
    return functional.cross_entropy(logits_M2, origin_M)
