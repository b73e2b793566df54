"""Activation checkpointing: activations are computed again in the backward pass instead of being kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


class Recomputed(nn.Module):
    """Mixin of a stage that is checkpointed."""

    def forward(self, *inputs: Any) -> Any:
        if not torch.is_grad_enabled():  # the student's previous frame, evaluation
            return super().forward(*inputs)
        return checkpoint(
            super().forward,
            *inputs,
            use_reentrant=False,
            preserve_rng_state=False,  # no stage draws random numbers
            context_fn=lambda: (nullcontext(), _kept_statistics(self)),
        )


def recompute(*stages: nn.Module) -> None:
    """Checkpoint stages; the names of their weights stay, and gradients and statistics are the same."""
    for stage in stages:
        kind = type(stage)
        stage.__class__ = type(f"Recomputed{kind.__name__}", (Recomputed, kind), {})


@contextmanager
def _kept_statistics(stage: nn.Module) -> Iterator[None]:
    """Let batch norms normalise as they did, without counting the batch a second time.

    mmdet's with_cp counts it twice, which makes the running statistics of the released students follow the
    last batches more closely: a momentum of 0.19 instead of 0.1.
    """
    norms = [layer for layer in stage.modules() if isinstance(layer, _BatchNorm)]
    counters = [norm.num_batches_tracked for norm in norms if norm.num_batches_tracked is not None]
    momenta, counts = [norm.momentum for norm in norms], [counter.clone() for counter in counters]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for counter, count in zip(counters, counts, strict=True):
            counter.copy_(count)
