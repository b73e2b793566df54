"""A checkpoint file of any code base as named tensors, or one sentence on why it is none."""

from __future__ import annotations

import pickle
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dualdistill.errors import CheckpointError
from dualdistill.interop import unpickle
from dualdistill.training.checkpoint import read_weights

HOLDERS = ("state_dict", "model", "model_state", "model_state_dict")  # where code bases put their weights
WRAPPERS = ("module.", "model.", "_orig_mod.")  # of DistributedDataParallel, Lightning and torch.compile
FOREIGN = "not a checkpoint of torch"
# raised by the unpickler for bytes that are no pickle, MemoryError for a length that is none
UNREADABLE = (
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    SystemError,
)
DAMAGED = "not a whole checkpoint: the file is cut off or damaged"


@dataclass(frozen=True)
class Checkpoint:
    """The weights of a file, and all else that is known of it."""

    weights: dict[str, Tensor]
    meta: Mapping[str, Any]
    prefix: str  # of wrappers, removed from every name
    beside: tuple[str, ...]  # other entries of the file, and those among the weights that are no tensors
    inert: tuple[str, ...]  # classes named in the file that were not loaded


def read(path: Path) -> Checkpoint:
    """Read a file without running anything in it."""
    content, inert = _content(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"holds {type(content).__name__}, not named weights", where=str(path))
    holder = next((name for name in HOLDERS if isinstance(content.get(name), Mapping)), None)
    held = content[holder] if holder else content
    weights = _tensors(held)
    others = [name for name in content if holder and name != holder]
    others += [name for name, value in held.items() if not isinstance(value, Tensor)]
    beside = tuple(map(str, others))
    if not weights:
        first = ", ".join(str(name) for name in list(content)[:4]) or "nothing"
        optimizer = {"optimizer", "param_groups"} & set(content)
        what = "an optimizer and no weights" if optimizer else f"no weights, but {first}"
        raise CheckpointError(f"the file holds {what}", where=str(path))
    meta: Any = content.get("meta") if holder else None
    prefix = _wrapper(weights)
    bare = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    return Checkpoint(bare, meta if isinstance(meta, dict) else {}, prefix, beside, tuple(inert))


def _content(path: Path) -> tuple[Any, list[str]]:
    """The content of a file, and the classes in it that were not loaded."""
    if path.suffix == ".safetensors" and path.is_file():
        return read_weights(path), []
    _check_form(path)
    return _load(path)


def _check_form(path: Path) -> None:
    """Refuse what torch.load would misread: a folder, other archives, compiled models."""
    if path.is_dir():
        raise CheckpointError("is a folder, not a checkpoint", where=str(path))
    if not path.is_file():
        raise CheckpointError("the file does not exist", where=str(path))
    with path.open("rb") as stream:
        start = stream.read(4)
    if start[:2] == b"\x80\x02" and not tarfile.is_tarfile(path):  # the format of torch before 1.6
        return
    if start != b"PK\x03\x04":
        raise CheckpointError(FOREIGN if start else DAMAGED, where=str(path))
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] for name in archive.namelist()}
    # zipfile's words for damage: of the archive, of a name in it, and of its version number
    except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError) as error:
        raise CheckpointError(DAMAGED, where=str(path)) from error
    if "constants.pkl" in names:
        what = "a compiled model (TorchScript): it is code"
        raise CheckpointError(what, where=str(path), hint="export its state_dict")
    if "data.pkl" not in names:
        raise CheckpointError(f"{FOREIGN}: a zip archive without data.pkl", where=str(path))


def _load(path: Path) -> tuple[Any, list[str]]:
    try:
        try:
            return torch.load(path, map_location="cpu", weights_only=True), []
        except pickle.UnpicklingError:
            return unpickle.load(path)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, LookupError) as error:
        raise CheckpointError(DAMAGED, where=str(path)) from error
    except UNREADABLE as error:
        what = "not a checkpoint: its content cannot be read as weights"
        raise CheckpointError(what, where=str(path)) from error


def _tensors(values: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {str(name): value.detach() for name, value in values.items() if isinstance(value, Tensor)}


def _wrapper(names: Mapping[str, Tensor]) -> str:
    """The prefix that wrappers have put before every name."""
    for wrapper in WRAPPERS:
        if all(name.startswith(wrapper) for name in names):
            return wrapper + _wrapper({name.removeprefix(wrapper): value for name, value in names.items()})
    return ""
