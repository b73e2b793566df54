"""Checkpoints that survive a kill at any moment, and weight files that run no code when loaded.

`state/head.json` names the current checkpoint and its checksum. It is replaced only when the new checkpoint
is on disk, and older checkpoints are removed only after that, so it always names a complete one.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dualdistill.errors import CheckpointError, DataError
from dualdistill.store.files import read_json, replacing, sha256_file, write_json

log = logging.getLogger(__name__)
HEAD = "head.json"


def save_state(folder: Path, step: int, total: int, spec_sha: str, state: Mapping[str, Any]) -> None:
    """Write a checkpoint, point head.json at it, and keep the previous one as a spare."""
    name = f"step-{step:08d}.pt"
    with replacing(folder / name) as temporary:
        torch.save(dict(state), temporary)
    previous = read_json(folder / HEAD)["checkpoints"] if (folder / HEAD).exists() else []
    kept = [item for item in previous if item["name"] != name][:1]
    entry = {"name": name, "sha256": sha256_file(folder / name), "step": step}
    write_json(folder / HEAD, {"spec_sha": spec_sha, "total": total, "checkpoints": [entry, *kept]})
    names = {item["name"] for item in [entry, *kept]}
    for stale in folder.glob("step-*.pt"):
        if stale.name not in names:
            stale.unlink()


def load_state(
    folder: Path, spec_sha: str, is_usable: Callable[[dict[str, Any]], bool] = lambda state: True
) -> dict[str, Any] | None:
    """The newest intact checkpoint; None, with a warning in the log, when the run has to start over."""
    if not (folder / HEAD).exists():
        return None
    try:
        head = read_json(folder / HEAD)
        checkpoints = [(item["name"], item["sha256"]) for item in head["checkpoints"]]
        state_sha = head["spec_sha"]
    except (DataError, KeyError, TypeError):
        log.warning("%s is damaged: the run starts over", folder / HEAD)
        return None
    if state_sha != spec_sha:
        raise CheckpointError(
            f"the state belongs to another spec ({state_sha[:10]}, this run is {spec_sha[:10]})",
            where=str(folder),
            hint="move the folder away; the run then starts over",
        )
    for name, sha in checkpoints:
        path = folder / name
        if not path.exists() or path.parent != folder or sha256_file(path) != sha:
            log.warning("%s is missing or damaged: falling back to the previous checkpoint", path)
        elif is_usable(state := load_plain(path)):
            return state
        else:
            log.warning("the history does not reach %s: falling back to the previous checkpoint", path)
    log.warning("no intact checkpoint in %s: the run starts over", folder)
    return None


def load_plain(path: Path) -> dict[str, Any]:
    """Load a torch file of tensors and plain values; refuse anything that would run code."""
    try:
        loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError("not a readable checkpoint of plain tensors", where=str(path)) from error
    return loaded


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write a safetensors file."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    with replacing(path) as temporary:
        save_file(plain, temporary)


def load_weights(path: Path, module: nn.Module, sha256: str | None = None) -> None:
    """Load a file of `save_weights` into a module of the same structure."""
    load_exactly(module, read_weights(path, sha256), path)


def read_weights(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """Read a file of `save_weights`; refuse it if it differs from the checksum in run.json."""
    if not path.exists():
        raise CheckpointError("the weights do not exist", where=str(path), hint="train the run first")
    if sha256 is not None and sha256_file(path) != sha256:
        raise CheckpointError(
            "the weights differ from what run.json recorded", where=str(path), hint="train the run again"
        )
    try:
        weights: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError("not a readable safetensors file", where=str(path)) from error
    return weights


def load_exactly(module: nn.Module, weights: Mapping[str, Tensor], path: Path, hint: str = "") -> None:
    """Load weights that were read from a file; names and shapes must all match, or nothing is loaded."""
    ours = module.state_dict()
    missing, extra = sorted(ours.keys() - weights.keys()), sorted(weights.keys() - ours.keys())
    shapes = [name for name in ours.keys() & weights.keys() if ours[name].shape != weights[name].shape]
    if missing or extra or shapes:
        first = (missing + extra + sorted(shapes))[0]
        raise CheckpointError(
            f"the weights are of another model: {len(missing)} keys missing, {len(extra)} unknown, "
            f"{len(shapes)} of another shape, first {first!r}",
            where=str(path),
            hint=hint,
        )
    module.load_state_dict(weights)
