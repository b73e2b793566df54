"""Progress lines and signal handling of a training run."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from dualdistill.errors import PeerError, UserError
from dualdistill.store.progress import Progress
from dualdistill.store.progress import clock as duration
from dualdistill.store.records import EVENTS

SAVE_EVERY_S = 300.0
PROGRESS_EVERY_S = 2.0


class StopSignal:
    """A flag that the process was asked to stop, so that the loop can save first."""

    def __init__(self) -> None:
        self.received = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._record)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self.received = number


class Clock:
    """Time spent and time left of a training, over all processes that worked on it."""

    def __init__(self, step: int, total: int, seconds_before: float) -> None:
        self.first, self.total, self.before = step, total, seconds_before
        self.started = self.saved = time.monotonic()
        self.shown = 0.0  # when the progress was last written
        self.waited = 0.0  # for batches, in this process

    def save_is_due(self) -> bool:
        """True once every SAVE_EVERY_S: at full size an epoch takes hours, too long to lose in a kill."""
        if time.monotonic() - self.saved < SAVE_EVERY_S:
            return False
        self.saved = time.monotonic()
        return True

    def progress_is_due(self) -> bool:
        """True at the first step and then every PROGRESS_EVERY_S, since a step at full size takes seconds."""
        if self.shown and time.monotonic() - self.shown < PROGRESS_EVERY_S:
            return False
        self.shown = time.monotonic()
        return True

    def watched(self, batches: Iterator[Any]) -> Iterator[Any]:
        """The batches, with the time measured that the training waits for them."""
        asked = time.monotonic()
        for batch in batches:
            self.waited += time.monotonic() - asked
            yield batch
            asked = time.monotonic()

    @property
    def waiting(self) -> float:
        """Share of the time of this process that it waited for data; without loaders, that it loaded them."""
        return round(self.waited / max(time.monotonic() - self.started, 1e-9), 4)

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.started

    def pace(self, step: int) -> float:
        """Seconds per step of this process; an earlier one may have run on another machine."""
        return (self.seconds - self.before) / (step - self.first)

    def write_progress(
        self, folder: Path, step: int, epoch: float, losses: dict[str, float], skipped: int
    ) -> None:
        """Write the file from which `status` shows a running training."""
        pace, epoch = self.pace(step), round(epoch, 2)
        Progress("train", step, self.total, pace, epoch=epoch, losses=losses, skipped=skipped).leave(folder)

    def line(self, step: int, epoch: float, losses: dict[str, float], skipped: int) -> str:
        """Progress in one line: step, losses, skipped steps, pace, time left, memory."""
        pace = self.pace(step)
        left = duration(pace * (self.total - step))
        terms = "  ".join(f"{name} {value:.3g}" for name, value in losses.items())
        left_out = f"{skipped} skipped  " if skipped else ""
        return (
            f"step {step}/{self.total}  epoch {epoch:.1f}  loss {sum(losses.values()):.4g}  {left_out}"
            f"{pace:.2f} s/step  {self.waiting:.0%} for data  eta {left}  {peak_memory_mb():.0f} MB"
            f"  |  {terms}"
        )


def peak_memory_mb() -> float:
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def log_event(folder: Path, **event: Any) -> None:
    """Append a line to the run's event log."""
    with (folder / EVENTS).open("a") as stream:
        stream.write(json.dumps({"time": time.time(), "pid": os.getpid(), **event}) + "\n")


@contextmanager
def log_failure(folder: Path) -> Iterator[None]:
    """Log an exception that ends the block, for `status`; a stop by signal is not a failure."""
    try:
        yield
    except Exception as error:
        record_failure(folder, error)
        raise


def record_failure(folder: Path, error: Exception) -> None:
    """Append a failure to the event log; of several processes that fail together, the cause alone."""
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    with suppress(OSError):  # when the disk is full, the exception itself reaches the user
        if not (isinstance(error, PeerError) and _last_event(folder) == "failure"):
            log_event(folder, event="failure", why=f"{kind}{error}")


def _last_event(folder: Path) -> str:
    lines = (folder / EVENTS).read_text().splitlines() if (folder / EVENTS).exists() else []
    return str(json.loads(lines[-1])["event"]) if lines else ""
