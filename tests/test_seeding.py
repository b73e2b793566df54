"""Seeds by purpose, and random state that is restored exactly."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from dualdistill.seeding import pin, random_state, restore_random_state, seed_everything, seed_for
from dualdistill.training.checkpoint import load_plain


def test_every_purpose_has_a_seed_of_its_own() -> None:
    seeds = {seed_for(0, "init", "student"), seed_for(0, "init", "method"), seed_for(1, "init", "student")}
    assert len(seeds) == 3
    assert seed_for(0, "init", "student") == seed_for(0, "init", "student")


def test_random_state_of_all_three_generators_is_restored_from_a_file(tmp_path: Path) -> None:
    seed_everything(7)
    np.random.standard_normal()  # leaves a cached second value behind
    torch.save(random_state(), tmp_path / "state.pt")
    expected = (torch.rand(3).tolist(), np.random.standard_normal(3).tolist(), random.random())
    restore_random_state(load_plain(tmp_path / "state.pt"))
    assert (torch.rand(3).tolist(), np.random.standard_normal(3).tolist(), random.random()) == expected


def test_pinned_torch_is_deterministic_and_does_not_fill_new_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    mode, threads = torch.get_deterministic_debug_mode(), torch.get_num_threads()
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    try:
        pin(1)
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory
    finally:
        torch.set_deterministic_debug_mode(mode)
        torch.set_num_threads(threads)
