"""Batches on their way from a loader process: one block of shared memory each.

torch sends a file descriptor for every tensor, and a batch has some for every sample: with several loaders
that read ahead, those of one training would exceed the usual limit of 1,024 open files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

ALIGNED = 64  # bytes; a tensor starts at a multiple


@dataclass(frozen=True)
class Place:
    """A tensor in the block."""

    first: int
    dtype: torch.dtype
    shape: torch.Size
    stride: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return self.shape.numel() * self.dtype.itemsize

    def of(self, memory: Tensor) -> Tensor:
        """The tensor, a view of the block's memory."""
        flat = memory[self.first : self.first + self.bytes].view(self.dtype)
        return flat.as_strided(self.shape, self.stride, flat.storage_offset())


@dataclass(frozen=True)
class Block:
    """A batch whose tensors lie in one piece of memory."""

    memory: Tensor
    content: Any  # the batch with a Place for every tensor

    @staticmethod
    def of(batch: Any) -> Block:
        """Copy the tensors of a batch to shared memory."""
        tensors: list[tuple[Place, Tensor]] = []
        end = 0

        def placed(tensor: Tensor) -> Place:
            nonlocal end
            stride = torch.empty_like(tensor).stride()  # without gaps, the order of its axes kept
            place = Place(end, tensor.dtype, tensor.shape, stride)
            tensors.append((place, tensor))
            end += -(-place.bytes // ALIGNED) * ALIGNED
            return place

        content = _mapped(batch, Tensor, placed)
        memory = torch.empty(end, dtype=torch.uint8).share_memory_()
        for place, tensor in tensors:
            place.of(memory).copy_(tensor)
        return Block(memory, content)

    def batch(self) -> Any:
        """The batch, its tensors views of the block."""
        return _mapped(self.content, Place, lambda place: place.of(self.memory))

    def pin_memory(self) -> Block:
        """Copy to page-locked memory, from which a GPU reads while the loop goes on; torch calls this."""
        return Block(self.memory.pin_memory(), self.content)


def _mapped(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """Change everything of a kind in a value made of dataclasses and tuples."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_mapped(item, kind, change) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type | Place):
        parts = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
        changed = {name: _mapped(part, kind, change) for name, part in parts.items()}
        return dataclasses.replace(value, **changed)
    return value
