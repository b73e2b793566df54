"""The optimizer, the learning rate of each step, and the moving average of weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import PARAM_LIST, AveragedModel, get_ema_multi_avg_fn

from dualdistill.config.run_spec import ScheduleSpec

CYCLIC_RISE = 0.4  # mmdet3d's cyclic schedule: over the first 40 % of the steps ...
CYCLIC_RATES = (10.0, 1e-4)  # ... up to ten times the base rate, and down from there
CYCLIC_MOMENTA = (0.85 / 0.95, 1.0)  # meanwhile the other way round, in shares of beta1
BETAS = (0.9, 0.999)
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
        betas=BETAS,
        weight_decay=schedule.weight_decay,
        fused=True,
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float, beta1: float = BETAS[0]) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
        group["betas"] = (beta1, BETAS[1])


def learning_rate(schedule: ScheduleSpec, step: int, steps_per_epoch: int) -> float:
    """The learning rate of one optimizer step.

    `step` is BEVDet's schedule for students (configs/bevdepth/bevdepth4d-r50.py), `cyclic` is mmdet3d's for
    LiDAR detectors (configs/_base_/schedules/cyclic-20e.py).
    """
    total = schedule.steps_in_all(steps_per_epoch)
    if schedule.policy == "cyclic":
        return schedule.lr * _cycle(step / total, *CYCLIC_RATES)
    warmup = min(schedule.warmup_iters, total // 2)
    if step < warmup:
        return schedule.lr * (WARMUP_START + (1 - WARMUP_START) * step / warmup)
    if schedule.policy == "cosine":
        progress = (step - warmup) / max(1, total - warmup)
        return schedule.lr * 0.5 * (1 + math.cos(math.pi * progress))
    drops = sum(step >= milestone for milestone in schedule.milestones(steps_per_epoch))
    return schedule.lr * 0.1**drops


def momentum(schedule: ScheduleSpec, step: int, steps_per_epoch: int) -> float:
    """AdamW's beta1 at one optimizer step."""
    if not schedule.cycle_momentum:
        return BETAS[0]
    return BETAS[0] * _cycle(step / schedule.steps_in_all(steps_per_epoch), *CYCLIC_MOMENTA)


def _cycle(progress: float, peak: float, end: float) -> float:
    """From 1 to the peak and on to the end, in half waves of a cosine."""
    if progress < CYCLIC_RISE:
        return _half_wave(1.0, peak, progress / CYCLIC_RISE)
    return _half_wave(peak, end, (progress - CYCLIC_RISE) / (1 - CYCLIC_RISE))


def _half_wave(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


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
