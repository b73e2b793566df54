"""Seeds by axis, and random state that restores exactly."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch

from dualdistill.checkpoint import load_plain
from dualdistill.determinism import random_state, restore_random_state, seed_everything, seed_for


def test_axes_have_seeds_of_their_own() -> None:
    seeds = {seed_for(0, "init", "student"), seed_for(0, "init", "method"), seed_for(1, "init", "student")}
    assert len(seeds) == 3
    assert seed_for(0, "init", "student") == seed_for(0, "init", "student")


def test_random_state_survives_a_file_and_restores_all_three_generators(tmp_path: Path) -> None:
    seed_everything(7)
    np.random.standard_normal()  # leaves a cached second value behind
    torch.save(random_state(), tmp_path / "state.pt")
    expected = (torch.rand(3).tolist(), np.random.standard_normal(3).tolist(), random.random())
    restore_random_state(load_plain(tmp_path / "state.pt"))
    assert (torch.rand(3).tolist(), np.random.standard_normal(3).tolist(), random.random()) == expected
