"""What every test needs: where the checkout is, and one thread, because two change the last bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkout() -> Path:
    return Path(__file__).parents[1]
