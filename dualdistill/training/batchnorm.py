"""BatchNorm over the samples of all ranks: torch's own on GPUs, and one for CPUs, which torch lacks.

Ranks may hold different numbers of values, as pillars and boxes differ between samples.
Axes: C channels, the second of a layer's input.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from dualdistill.distributed import ranks, summed


class CPUSyncBatchNorm(_BatchNorm):
    """The numbers of torch's BatchNorm on a CPU, whose sums are in float64, over the values of all ranks.

    It is not a torch.nn.SyncBatchNorm, which DDP refuses on CPUs.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Take any number of axes after the channels."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or ranks() == 1:
            return super().forward(input)
        value = input.to(self.weight.dtype)  # from half precision
        with torch.autocast(input.device.type, enabled=False):
            result: tuple[Tensor, ...] = _Normalise.apply(value, self.weight, self.bias, self.eps)
        output, mean_C, variance_C, total = result
        running: Any = self  # its statistics may be None for torch, never here
        with torch.no_grad():
            running.num_batches_tracked += 1
            running.running_mean.lerp_(mean_C.to(running.running_mean), self.momentum)
            unbiased_C = variance_C * total / (total - 1).clamp(min=1)
            running.running_var.lerp_(unbiased_C.to(running.running_var), self.momentum)
        return output.to(input.dtype)


class _Normalise(torch.autograd.Function):
    """Normalise with the mean and the biased variance of all ranks; return these and the number of values."""

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, weight_C: Tensor, bias_C: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        count = value.new_tensor([value.numel() / value.shape[1]], dtype=torch.float64)
        sum_C, total = summed(torch.cat([_by_channel(value), count])).split([value.shape[1], 1])
        total = total.clamp(min=1)
        mean_C = sum_C / total
        # a second sum is exact where the difference of two large ones is not
        variance_C = summed(_by_channel((value - _along(mean_C, value)).square())) / total
        ctx.save_for_backward(value, weight_C, mean_C, (variance_C + eps).rsqrt(), total)
        ctx.mark_non_differentiable(mean_C, variance_C, total)
        # torch's BatchNorm computes x * scale + shift, which is not zero for large and equal values, such as
        # the focal lengths of the cameras: the same operation here makes the same error
        scale_C = weight_C * (variance_C + eps).rsqrt().to(weight_C)
        output = F.batch_norm(value, mean_C.to(scale_C), torch.ones_like(scale_C), scale_C, bias_C, eps=0.0)
        return output, mean_C, variance_C, total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        value, weight_C, mean_C, inverse_C, total = ctx.saved_tensors
        gradient, centred = gradients[0], value - _along(mean_C, value)
        sum_C, product_C = _by_channel(gradient), _by_channel(gradient * centred)
        mean_sum_C, mean_product_C = (summed(torch.cat([sum_C, product_C])) / total).chunk(2)
        through_C = _along(mean_sum_C, value) + centred * _along(mean_product_C * inverse_C**2, value)
        to_value = (gradient - through_C) * _along(weight_C * inverse_C, value)
        # DDP averages the gradients of weight and bias, as of all others
        return to_value, (product_C * inverse_C).to(weight_C.dtype), sum_C.to(weight_C.dtype), None


def synchronise(module: nn.Module, device: torch.device) -> None:
    """Let all BatchNorm layers average over all ranks; the names of the weights stay."""
    if device.type != "cpu":
        nn.SyncBatchNorm.convert_sync_batchnorm(module)
        return
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.__class__ = CPUSyncBatchNorm


def _by_channel(value: Tensor) -> Tensor:
    """Sums over all axes but the channels."""
    return value.sum([axis for axis in range(value.dim()) if axis != 1], dtype=torch.float64)


def _along(value_C: Tensor, like: Tensor) -> Tensor:
    """Values by channel, to be combined with a layer's input."""
    return value_C.to(like.dtype).view(-1, *[1] * (like.dim() - 2))
