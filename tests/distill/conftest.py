"""Grids and boxes that the distillation tests share."""

from __future__ import annotations

import pytest
import torch
from distill import toy
from torch import Tensor

from dualdistill.config.run_spec import GridSpec


@pytest.fixture(scope="session")
def grid() -> GridSpec:
    return GridSpec(half_extent_m=51.2, cell_m=0.8)


@pytest.fixture(scope="session")
def toy_grid() -> GridSpec:
    return toy.GRID


@pytest.fixture
def toy_boxes_K9() -> tuple[Tensor, ...]:
    """Two overlapping boxes, none, and a single one, in float64."""
    return toy.make_boxes(dtype=torch.float64)
