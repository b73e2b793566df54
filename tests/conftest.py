"""What every test needs: where the checkout is, and one thread, because two change the last bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import dualdistill  # noqa: F401  with mmcv-lite, mmdet and mmdet3d import only after it

torch.set_num_threads(1)

MINUTES = ("docs", "workflow", "train", "models")  # folders with slow tests, the longest first


@pytest.fixture(scope="session")
def checkout() -> Path:
    return Path(__file__).parents[1]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `-n 2` nobody waits at the end for what takes minutes."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: (*MINUTES, item.path.parent.name).index(item.path.parent.name))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `-n 2` a folder stays in one process, so that what its tests share is made once."""
    from folders import FolderScheduling

    return FolderScheduling(config, log)
