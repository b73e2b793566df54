"""GPUs that only their driver's command knows, so that pools and locks are tested on any machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[str]]:
    """Put a command nvidia-smi on PATH that lists GPUs no other test has; return their UUIDs."""

    def make(count: int) -> list[str]:
        uuids = [f"GPU-{os.getpid()}-{tmp_path.name}-{number}" for number in range(count)]
        tools = tmp_path / "tools"
        tools.mkdir()
        command = tools / "nvidia-smi"
        command.write_text("#!/bin/sh\nprintf '%s\\n' " + " ".join(uuids) + "\n")
        command.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        return uuids

    return make
