"""Clones of this project on machines with nothing, or with everything that ./run needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from clones import PYTHON_STUB, Clone, make_clone


@pytest.fixture
def bare(tmp_path: Path) -> Clone:
    return make_clone(tmp_path)


@pytest.fixture
def clone(bare: Clone) -> Clone:
    bare.tool("python3.11", PYTHON_STUB)
    return bare
