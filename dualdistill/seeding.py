"""Seeds by purpose, a fixed number of threads, and the random state for resuming.

Runs with the same seed share the initialisation of common modules, the batch order and the augmentation: each
seed is derived from its purpose, so a module added to one row does not shift the random numbers of another.
"""

from __future__ import annotations

import hashlib
import os
import random
from typing import Any

import numpy as np
import torch


def seed_for(seed: int, *purpose: object) -> int:
    """A 63-bit seed for a named purpose, e.g. seed_for(0, "init", "student")."""
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def pin(threads: int) -> None:
    """Fix the number of threads and use deterministic kernels, so that one CPU gives the same bits."""
    torch.set_num_threads(threads)
    # cuBLAS reads this before its first call; without it deterministic matmuls raise
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # like use_deterministic_algorithms, which would load torch's compiler
    torch.set_deterministic_debug_mode("warn" if torch.cuda.is_available() else "error")
    # otherwise every new tensor is first filled with NaN, which takes an eighth of a student's step
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def random_state() -> dict[str, Any]:
    """The state of all generators, in tensors and numbers that a checkpoint loads without running code."""
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
