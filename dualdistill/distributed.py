"""The ranks of a training: the processes that share its batches, each with a device.

Without a process group there is one rank, and everything here is the identity. But for `ranks`, `rank` and
`main_memory`, functions are collective: every rank calls them in the same order, whatever its samples hold.
"""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def ranks() -> int:
    return dist.get_world_size() if _in_group() else 1


def rank() -> int:
    return dist.get_rank() if _in_group() else 0


def summed(tensor: Tensor) -> Tensor:
    """The sum over the ranks, in place and without a gradient."""
    if ranks() > 1:
        dist.all_reduce(tensor)
    return tensor


@torch.no_grad()
def normaliser(count: Tensor | float, at_least: float = 1) -> Tensor:
    """The divisor of a loss over a count, of boxes say: the mean of the ranks' counts.

    DDP averages gradients over ranks, so sums divided by it become the sum of the whole batch over its count.
    That count is at least `at_least`, so that a batch without boxes divides by no zero.
    """
    count = torch.as_tensor(count)
    if ranks() > 1:
        count = summed(count.to(_device(), torch.float32, copy=True)) / ranks()
    return count.clamp(min=at_least / ranks())


def means(values: list[float]) -> list[float]:
    """The values, averaged over the ranks."""
    if ranks() == 1:
        return values
    total = summed(torch.tensor(values, dtype=torch.float64, device=_device()))
    return [value / ranks() for value in total.tolist()]


def largest(*values: int) -> list[int]:
    """The largest of each value over the ranks."""
    if ranks() == 1:
        return list(values)
    most = torch.tensor(values, dtype=torch.int64, device=_device())
    dist.all_reduce(most, dist.ReduceOp.MAX)
    return [int(value) for value in most.tolist()]


def gathered(value: Any) -> list[Any]:
    """The plain value of every rank, in their order."""
    if ranks() == 1:
        return [value]
    values: list[Any] = [None] * ranks()
    dist.all_gather_object(values, value)
    return values


def wait_for_all() -> None:
    """Return when every rank is here."""
    largest(0)


def main_memory() -> int:
    """Bytes of the machine's memory, shared between the ranks that run on it."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return whole // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _in_group() -> bool:
    return dist.is_available() and dist.is_initialized()


def _device() -> torch.device:
    """The device of tensors that the backend exchanges."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
