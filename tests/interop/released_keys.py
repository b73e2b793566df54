"""State dicts of the released networks at full size, made from the lists of their keys."""

from __future__ import annotations

import ast
import gzip
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

KEYS = Path(__file__).parents[1] / "golden" / "released" / "keys"


def shapes(network: str) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Shape and dtype of every entry."""
    with gzip.open(KEYS / f"{network}.txt.gz", "rt") as stream:
        lines = [line.rstrip("\n").split("\t") for line in stream if not line.startswith("#")]
    return {name: (ast.literal_eval(shape), getattr(torch, dtype)) for name, shape, dtype in lines}


def state_dict(network: str, seed: int = 0) -> dict[str, Tensor]:
    """Random weights, each entry different from the others."""
    generator = torch.Generator().manual_seed(seed)
    return {name: _random(*entry, generator) for name, entry in shapes(network).items()}


def _random(shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    if dtype.is_floating_point:
        return torch.rand(shape, generator=generator).to(dtype)
    return torch.randint(1, 1000, shape, generator=generator).to(dtype)


def under_released_names(weights: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Weights of a network here under the released names: a map of key_maps.py turned round."""
    turned = {ours: theirs for theirs, ours in names.items()}
    longest = sorted(turned, key=len, reverse=True)
    prefixes = {name: next(prefix for prefix in longest if name.startswith(prefix)) for name in weights}
    return {turned[prefix] + name.removeprefix(prefix): weights[name] for name, prefix in prefixes.items()}
