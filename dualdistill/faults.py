"""Places at which a process may be made to fail, for tests that kill a job where it hurts most.

    DUALDISTILL_FAULT=point[@rank][:count][=kind]

    DUALDISTILL_FAULT=checkpoint.written       ends the process after it wrote its first checkpoint's bytes
    DUALDISTILL_FAULT=backward@1:3             ends rank 1 of a training before its third backward pass
    DUALDISTILL_FAULT=backward:3=stop          sends the process SIGTERM there
    DUALDISTILL_FAULT=weights.written=full     fails as a full disk does

Without the variable nothing happens. A file has four points, each in the middle of its atomic replacement.
"""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Callable
from fnmatch import fnmatch

from dualdistill.errors import UserError

VARIABLE = "DUALDISTILL_FAULT"
FILES = {  # of a run, by the pattern of their names
    "checkpoint": "step-*.pt",
    "head": "head.json",
    "weights": "model.safetensors",
    "history": "history.jsonl",
    "record": "run.json",
}
STAGES = (
    "start",  # before the temporary file
    "written",  # it is written, perhaps not to the disk
    "synced",  # it is on the disk
    "renamed",  # it is in place
)
PROCESS = (
    "backward",  # before every backward pass of a training
    "load",  # before every sample of a data set
    "save",  # in every process of a training, before the first one writes a checkpoint
    "folder",  # before a complete folder takes the place of another
)
POINTS = tuple(f"{file}.{stage}" for file in FILES for stage in STAGES) + PROCESS
SPEC = re.compile(r"(?P<point>[\w.]+)(@(?P<rank>\d+))?(:(?P<count>\d+))?(=(?P<kind>\w+))?")


def _full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


KINDS: dict[str, Callable[[], None]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "full": _full,
}
_reached = dict.fromkeys(POINTS, 0)


def check() -> None:
    """Refuse a fault that would never happen because its name is wrong."""
    if not (text := os.environ.get(VARIABLE)):
        return
    found = SPEC.fullmatch(text)
    if found is None:
        raise UserError(f"'{text}' is no fault", where=VARIABLE, hint="point[@rank][:count][=kind]")
    if found["point"] not in POINTS:
        what = f"unknown fault point '{found['point']}'"
        raise UserError(what, where=VARIABLE, hint=f"one of {', '.join(POINTS)}")
    if found["kind"] and found["kind"] not in KINDS:
        raise UserError(f"unknown fault '{found['kind']}'", where=VARIABLE, hint=f"one of {', '.join(KINDS)}")


def reach(point: str) -> None:
    """Fail if the environment variable names this point, this rank and this visit."""
    text = os.environ.get(VARIABLE)
    if not text or not text.startswith(point):
        return
    found = SPEC.fullmatch(text)
    if found is None or found["point"] != point or (found["rank"] or _rank()) != _rank():
        return
    _reached[point] += 1
    if _reached[point] == int(found["count"] or 1):
        KINDS[found["kind"] or "kill"]()


def reach_file(name: str, stage: str) -> None:
    """Reach a stage of the replacement of a file; files that are not of a run have no points."""
    if VARIABLE in os.environ:
        for file, pattern in FILES.items():
            if fnmatch(name, pattern):
                reach(f"{file}.{stage}")


def _rank() -> str:
    return os.environ.get("RANK", "0")
