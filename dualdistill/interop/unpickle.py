"""Read a torch file that holds objects of other code bases without running or importing anything.

A pickle names classes and functions and says with which arguments they are called. Here only tensors and
plain containers are made; every other name becomes a placeholder that accepts whatever is done to it and does
nothing.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

CONTAINERS = {"set": set, "frozenset": frozenset, "list": list, "dict": dict, "tuple": tuple}
BUILTINS = ("builtins", "__builtin__")  # of Python 3, and of 2, which protocol 2 writes
DTYPES = {str(value): value for value in vars(torch).values() if type(value) is torch.dtype}


class Inert:
    """An object of the file that was not made."""

    def __new__(cls, *given: Any, **named: Any) -> Inert:
        return super().__new__(cls)

    def __init__(self, *given: Any, **named: Any) -> None:
        pass

    def _nothing(self, *given: Any) -> None:
        pass

    # all that a pickle does to an object after it was made
    __setstate__ = __setitem__ = append = extend = add = _nothing


class Rebuild:
    """A call that a pickle may make; unlike a function, it has no attributes that a pickle could set."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *given: Any) -> Any:
        return self._call(*given)

    def __setstate__(self, state: Any) -> None:
        pass


def load(path: Path) -> tuple[Any, list[str]]:
    """The content of a file, and the names that became placeholders."""
    inert: dict[str, type[Inert]] = {}

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if known := _plain(module, name):
                return known
            return inert.setdefault(f"{module}.{name}", type(name, (Inert,), {"__module__": module}))

    def plain_load(file: Any, **_: Any) -> Any:
        return Unpickler(file).load()

    reader = SimpleNamespace(__name__="restricted", Unpickler=Unpickler, load=plain_load)
    # weights_only would refuse the whole file at the first class it does not know; without it torch reads
    # with the Unpickler above, which makes tensors and containers and nothing else
    content = torch.load(path, map_location="cpu", weights_only=False, pickle_module=reader)
    return content, sorted(inert)


def _plain(module: str, name: str) -> Any:
    """The tensor, container or number of this name; None for all else."""
    if (module, name) == ("collections", "OrderedDict"):
        return OrderedDict
    if module in BUILTINS:
        return CONTAINERS.get(name)
    if dtype := DTYPES.get(f"{module}.{name}"):
        return dtype
    if (module, name) == ("torch", "Size"):
        return tuple
    return REBUILT.get(name) if module == "torch._utils" else None


def _rebuilt(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    """A view of a storage, without the hooks that a pickle may add."""
    reach = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True)) + 1
    if min((offset, *size, *stride)) < 0 or (0 not in size and reach > storage._size()):
        raise pickle.UnpicklingError("a tensor that is larger than its data")
    rebuilt: Tensor = torch._utils._rebuild_tensor(storage, offset, size, stride)
    return rebuilt


REBUILT = {
    "_rebuild_tensor_v2": Rebuild(_rebuilt),
    "_rebuild_tensor": Rebuild(_rebuilt),
    "_rebuild_parameter": Rebuild(lambda tensor, *_: tensor),
}
