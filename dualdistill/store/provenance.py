"""Provenance of a result: machine, packages, code version and time, for run.json. Imports nothing heavy."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch",
    "mmcv",
    "mmcv-lite",
    "mmdet",
    "mmdet3d",
    "mmengine",
    "nuscenes-devkit",
    "lightning-fabric",
    "numpy",
    "scipy",
    "pandas",
    "trimesh",
    "embreex",
    "safetensors",
    "snakemake",
)


def collect() -> dict[str, Any]:
    """Everything about this process that may explain a different number later."""
    return {
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "cores_allowed": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": _threads(),
        "devices": _devices(),
        "python": platform.python_version(),
        "packages": package_versions(),
        "git": git_state(Path(__file__).parents[1]),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def package_versions(names: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Versions of the installed packages among these names."""
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def git_state(folder: Path) -> dict[str, Any]:
    """The commit, None outside of a repository, and whether this folder differs from it."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {"commit": None, "dirty": None}
    # a new file in the package can be a new method; notes beside the package cannot change a number
    changes = _git(folder, "status", "--porcelain", "--", ".")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        words = ["git", *arguments]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _threads() -> int | None:
    # this must not import torch into a process that does without it
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else None


def _devices() -> list[str]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
