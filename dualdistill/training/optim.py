"""The optimizer, the learning rate of each step, and the moving average of weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import PARAM_LIST, AveragedModel, get_ema_multi_avg_fn

from dualdistill.config.run_spec import ScheduleSpec

CYCLIC_PEAK = 10.0  # mmdet3d's cyclic schedule: up to ten times the base rate ...
CYCLIC_RISE = 0.4  # ... over the first 40 % of the steps
WARMUP_START = 1e-3  # of the base rate
FRESH = ("learner.head.", "method.")  # parameters that start untrained in every run


def optimizer(objective: nn.Module, schedule: ScheduleSpec) -> torch.optim.AdamW:
    """AdamW over the objective's parameters; a group's `scale` multiplies its learning rate."""
    named = list(objective.named_parameters())
    body = [value for name, value in named if not name.startswith(FRESH)]
    fresh = [value for name, value in named if name.startswith(FRESH)]
    groups = [{"params": body, "scale": 1.0}, {"params": fresh, "scale": schedule.head_rate}]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=schedule.lr,
        weight_decay=schedule.weight_decay,
        fused=True,
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def learning_rate(schedule: ScheduleSpec, step: int, steps_per_epoch: int) -> float:
    """The learning rate of one optimizer step.

    `step` is BEVDet's schedule for students (configs/bevdepth/bevdepth4d-r50.py), `cyclic` is mmdet3d's for
    LiDAR detectors (configs/_base_/schedules/cyclic-20e.py).
    """
    total = round(schedule.epochs * steps_per_epoch)
    if schedule.policy == "cyclic":
        return schedule.lr * _cyclic(step / total)
    warmup = min(schedule.warmup_iters, total // 2)
    if step < warmup:
        return schedule.lr * (WARMUP_START + (1 - WARMUP_START) * step / warmup)
    if schedule.policy == "cosine":
        progress = (step - warmup) / max(1, total - warmup)
        return schedule.lr * 0.5 * (1 + math.cos(math.pi * progress))
    drops = sum(step >= epoch * steps_per_epoch for epoch in schedule.steps)
    return schedule.lr * 0.1**drops


def _cyclic(progress: float) -> float:
    if progress < CYCLIC_RISE:
        return 1 + (CYCLIC_PEAK - 1) * 0.5 * (1 - math.cos(math.pi * progress / CYCLIC_RISE))
    fall = (progress - CYCLIC_RISE) / (1 - CYCLIC_RISE)
    return CYCLIC_PEAK * 0.5 * (1 + math.cos(math.pi * fall))


def moving_average(module: nn.Module, decay: float) -> AveragedModel:
    """An exponential average of weights and batch-norm statistics, from the initial ones on.

    Megvii's BEVDepth likewise averages every floating-point entry of the state and leaves the integers, which
    are step counters, at their initial values. Its ramp of the decay never acts: its counter starts at the
    length of a whole training (ModelEMA in bevdepth/callbacks/ema.py).
    """
    update = get_ema_multi_avg_fn(decay)

    def update_floats(averaged: PARAM_LIST, current: PARAM_LIST, updates: Tensor | int) -> None:
        if averaged[0].is_floating_point():  # all entries of a call have the same type
            update(averaged, current, updates)

    average = AveragedModel(module, multi_avg_fn=update_floats, use_buffers=True)
    average.n_averaged += 1  # the initial weights; otherwise the first update would replace them
    return average
