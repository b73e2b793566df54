"""Memory of a training step, measured before the first one, so that no training runs out of memory.

A forward pass of a few samples runs without an effect. The tensors that are still alive after it are kept for
the backward pass; what a larger batch keeps is extrapolated from two sizes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dualdistill.data.loader import TrainingBatches
from dualdistill.distributed import main_memory
from dualdistill.errors import UserError
from dualdistill.seeding import random_state, restore_random_state
from dualdistill.training.objective import Objective, Teachers
from dualdistill.training.progress import peak_memory_mb

log = logging.getLogger(__name__)
MIB, GIB = 2**20, 2**30
MEASURED = 4  # samples; a larger batch is extrapolated from this many and from half of them
ADAM = 2  # averages per weight
TEMPORARIES = 2  # of the size of the largest tensor: its gradient, and what that is computed from


@dataclass(frozen=True)
class Use:
    """Bytes of one forward pass."""

    kept: float  # for the backward pass
    largest: float  # tensor
    inputs: float

    @property
    def peak(self) -> float:
        return self.kept + TEMPORARIES * self.largest + self.inputs

    def at(self, samples: int, double: Use) -> Use:
        """Extrapolate from this use of MEASURED / 2 samples and that of twice as many."""
        return Use(*(one + (two - one) * (samples / (MEASURED / 2) - 1) for one, two in _pairs(self, double)))


def _pairs(one: Use, two: Use) -> list[tuple[float, float]]:
    return [(getattr(one, item.name), getattr(two, item.name)) for item in fields(Use)]


class Alive(TorchDispatchMode):
    """Watches which of the tensors that operations make are still alive, by their storage."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self.sizes[StorageWeakRef(storage)] = storage.nbytes()
        return made

    def kept(self, others: set[StorageWeakRef]) -> int:
        return sum(size for ref, size in self.sizes.items() if ref not in others and not ref.expired())


def measure(fabric: Fabric, objective: Objective, teachers: Teachers | None, batch: Any) -> Use:
    """The use of one forward pass, which leaves statistics and random numbers as they were."""
    inputs, frozen = _tensors(batch), list(teachers.parameters()) if teachers else []
    others = [*objective.parameters(), *objective.buffers(), *frozen, *inputs]
    before, drawn = [buffer.clone() for buffer in objective.buffers()], random_state()
    objective.train()
    with Alive() as alive, fabric.autocast():
        losses = objective(batch, teachers, 0.0)
    kept = alive.kept({StorageWeakRef(tensor.untyped_storage()) for tensor in others})
    del losses
    for buffer, value in zip(objective.buffers(), before, strict=True):
        buffer.copy_(value)
    restore_random_state(drawn)
    return Use(kept, max(alive.sizes.values(), default=0), sum(tensor.nbytes for tensor in inputs))


def _tensors(batch: Any) -> list[Tensor]:
    values = [getattr(batch, item.name) for item in fields(batch)]
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


class Estimate:
    """Peak memory of a step by the number of samples per device."""

    def __init__(
        self, fabric: Fabric, objective: Objective, teachers: Teachers | None, feed: TrainingBatches
    ) -> None:
        self.device = fabric.device
        trained = sum(weight.nbytes for weight in objective.parameters() if weight.requires_grad)
        # gradients and the optimizer's averages are yet to come
        self.fixed = peak_memory_mb() * MIB + (1 + ADAM) * trained
        most = feed.schedule.per_device
        sizes = (most,) if most < MEASURED else (MEASURED // 2, MEASURED)
        batches = (feed.first(size).to(self.device) for size in sizes)
        self.uses = [measure(fabric, objective, teachers, batch) for batch in batches]

    def peak(self, samples: int) -> float:
        if len(self.uses) == 1:
            return self.fixed + self.uses[0].peak
        return self.fixed + self.uses[0].at(samples, self.uses[1]).peak


def check_fits(estimate: Estimate, samples: int, stages: tuple[str, ...] | None) -> None:
    """Log the memory of a step; refuse what the device does not have, with the keys to change.

    `stages` are those of the network that are checkpointed; None for a network that knows none.
    """
    need, total = estimate.peak(samples), size_of(estimate.device)
    log.info("memory of a step: about %.1f of %.1f GiB", need / GIB, total / GIB)
    if need <= total:
        return
    fitting = next((count for count in range(samples - 1, 0, -1) if estimate.peak(count) <= total), 0)
    hint = f"lower schedule.batch_per_device to {fitting}" if fitting else "not even one sample fits"
    if stages is not None:
        hint += f", or add stages to model.activation_checkpoint: {list(stages)}"
    what = f"a step of {samples} samples per device needs about {need / GIB:.1f} GiB of memory"
    raise UserError(f"{what}, this {estimate.device.type} has {total / GIB:.1f} GiB", hint=hint)


def size_of(device: torch.device) -> int:
    """Memory of a device: a GPU's, or this process's share of the machine's."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return main_memory()
