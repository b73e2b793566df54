"""The same random state at the start of every test of the models."""

from __future__ import annotations

import forked
import pytest
import torch

forked.load_beforehand("dualdistill.models")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
