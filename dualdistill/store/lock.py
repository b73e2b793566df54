"""A lock that admits one process at a time to a run's folder; the kernel frees it when that process ends.

Snakemake's own lock can be lost while a training still runs.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from dualdistill.errors import BusyError

LOCK = "lock"
PATIENCE_S = 1.0  # `is_held` takes a free lock for an instant, which must not keep a training from starting


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold a run's folder; refuse a second process with an error that names the first."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    try:
        acquired = FileLock(path).acquire(timeout=PATIENCE_S)
    except Timeout as error:
        holder = path.read_text().strip() or "another process"
        what = f"the run is held by {holder}"
        raise BusyError(what, where=str(folder), hint="wait for it or stop it") from error
    with acquired:
        started = time.strftime("%Y-%m-%d %H:%M:%S")
        path.write_text(f"pid {os.getpid()} on {socket.gethostname()} since {started}")
        yield


def is_held(folder: Path) -> bool | None:
    """Whether a process holds a run's folder; None where this user may not try to take the lock."""
    if not (folder / LOCK).exists():
        return False
    try:
        with FileLock(folder / LOCK, blocking=False):
            return False
    except Timeout:
        return True
    except OSError:
        return None
