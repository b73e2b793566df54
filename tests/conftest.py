"""What every test needs: where the checkout is, and one thread, because two change the last bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)

TESTS = Path(__file__).parent
SLOW_FOLDERS = ("docs", "workflow", "training", "models")  # the slowest first


@pytest.fixture(scope="session")
def checkout() -> Path:
    return TESTS.parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `-n 2 --dist loadgroup`, keep a folder in one process, which then builds its fixtures once.

    Slow folders start first, so that no process ends up alone with one of them.
    """
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_folder(item)))
    items.sort(key=lambda item: (*SLOW_FOLDERS, _folder(item)).index(_folder(item)))


def _folder(item: pytest.Item) -> str:
    relative = item.path.relative_to(TESTS)
    return relative.parts[0] if len(relative.parts) > 1 else ""
