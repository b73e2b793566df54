"""Every test of the models starts from the same random state."""

from __future__ import annotations

import forked
import pytest
import torch

forked.load_beforehand("dualdistill.models")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
