"""Seeds by axis, a fixed thread count, and the random state a resumed run needs.

Runs that share a seed share the initialisation of shared modules, the batch order and the augmentation: every
seed is derived from the axis it serves, so adding a module to one variant does not shift another's draws.
"""

from __future__ import annotations

import hashlib
import os
import random
from typing import Any

import numpy as np
import torch


def seed_for(seed: int, *axis: object) -> int:
    """A 63-bit seed for a named purpose, e.g. seed_for(0, "init", "student")."""
    digest = hashlib.sha256(repr((seed, *axis)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def pin(threads: int) -> None:
    """The same number of threads and deterministic kernels: on one CPU, the same bits."""
    torch.set_num_threads(threads)
    # cuBLAS reads this before its first call; without it deterministic matmuls raise
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # says the same as use_deterministic_algorithms, which loads torch's compiler to do so
    torch.set_deterministic_debug_mode("warn" if torch.cuda.is_available() else "error")
    # else every new tensor is filled with NaN before it is written, an eighth of a camera's step
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def random_state() -> dict[str, Any]:
    """Plain tensors and integers only, so that a checkpoint loads without running code."""
    kind, keys, position, has_gauss, cached = np.random.get_state()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy_keys": torch.from_numpy(np.asarray(keys, dtype=np.int64)),
        "numpy_rest": [str(kind), int(position), int(has_gauss), float(cached)],
        "python": _plain(random.getstate()),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    kind, position, has_gauss, cached = state["numpy_rest"]
    np.random.set_state((kind, state["numpy_keys"].numpy().astype(np.uint32), position, has_gauss, cached))
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


def _plain(state: tuple[Any, ...]) -> list[Any]:
    version, numbers, gauss = state
    return [version, list(numbers), gauss]
