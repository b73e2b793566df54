"""GPUs that only their driver's command knows, and a world for real trainings on two processes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import forked
import pytest

forked.load_beforehand("lightning_fabric", "dualdistill.models")
CHANGES = {  # of the profile smoke
    "    batch: 2\n": "    batch: 2\n    batch_per_device: 1\n",
    "cache: true": "cache: false",
    "teacher: {epochs: 1}": "teacher: {epochs: 20}",  # long enough to be interrupted
    "val_scenes: 1": "val_scenes: 3",  # three batches for two processes
}


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


@pytest.fixture(scope="session")
def small(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[str, ...]]:
    """The data of a smoke profile whose batches two devices can share; return the options that lead to it."""
    folder = tmp_path_factory.mktemp("small")
    shutil.copytree(checkout / "config", folder / "config")
    profile = folder / "config" / "profiles" / "smoke.yaml"
    text = profile.read_text()
    for old, new in CHANGES.items():
        assert old in text
        text = text.replace(old, new, 1)
    profile.write_text(text)
    with (folder / "config" / "variants.yaml").open("a") as stream:
        stream.write("untrained: {from: centerpoint, schedule.epochs: 0}\n")

    def options(**devices: int) -> tuple[str, ...]:
        where = ("--config", str(folder / "config" / "config.yaml"), "--results", str(folder / "results"))
        return (*where, "--profile", "smoke", "--set", f"devices={json.dumps(devices)}")

    for stage in ("world", "index"):
        done = forked.run("dualdistill", stage, *options(), folder=checkout)
        assert done.returncode == 0, done.stderr
    return options
