"""The place of this process among those that do a job together, and its bond to their launcher.

Places are read from torchrun's variables, whoever set them. Imports no torch.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

LAUNCHER, REPORT = "DUALDISTILL_LAUNCHER", "DUALDISTILL_REPORT"
PR_SET_PDEATHSIG = 1
_report: int | None = None  # descriptor of the file in which the launcher reads why this process ended


def is_rank() -> bool:
    """Whether this process is one of several, or one that torchrun started alone."""
    return "RANK" in os.environ


def rank() -> int:
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def begin() -> None:
    """Tie a process that launch/processes.py started to its launcher; do nothing in any other."""
    global _report
    if LAUNCHER not in os.environ:
        return
    launcher, _report = int(os.environ.pop(LAUNCHER)), int(os.environ.pop(REPORT))
    _end_with(launcher)


def _end_with(launcher: int) -> None:
    """Kill this process as soon as its launcher is gone, so that it does not keep a device."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != launcher:  # it died before the kernel knew
            os.kill(os.getpid(), signal.SIGKILL)
        return

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def report(why: str) -> bool:
    """Tell the launcher why this process ends, which shows it once for all; False where there is none."""
    if _report is None:
        return False
    os.write(_report, why.encode())
    return True
