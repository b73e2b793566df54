"""Libraries load without what nothing here uses of them, and without being broken by it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dualdistill.models.lean import without

UNUSED = "wave"  # of the standard library; nothing imports it


def test_inside_it_is_as_if_a_library_were_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, UNUSED, raising=False)
    with pytest.raises(ImportError, match=UNUSED), without(UNUSED):
        __import__(UNUSED)
    assert __import__(UNUSED).__name__ == UNUSED


def test_what_is_loaded_stays() -> None:
    with without("json"):
        assert __import__("json") is sys.modules["json"]
    assert "json" in sys.modules


@pytest.mark.parametrize("module", ["dualdistill.evaluation.predict", "dualdistill.training.train"])
def test_commands_load_no_more_than_they_need(module: str) -> None:
    """In a process of its own: here everything is loaded already."""
    heavy = "('sklearn', 'nuscenes', 'torch.distributed.optim', 'pandas')"
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
