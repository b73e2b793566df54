"""Progress of a long job: a line in its log from time to time, and a file that `status` reads."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from dualdistill.errors import DataError
from dualdistill.store.files import read_json, write_json

log = logging.getLogger(__name__)
Item = TypeVar("Item")
FILE = "progress.json"  # beside the lock of the job
EVERY_S = 10.0


@dataclass(frozen=True)
class Progress:
    """Content of progress.json."""

    stage: str  # "train", or what is counted: "scenes rendered"
    done: int
    total: int
    seconds_each: float | None  # None before the first is done
    time: float = field(default_factory=time.time)
    epoch: float | None = None
    losses: dict[str, float] = field(default_factory=dict)
    skipped: int = 0  # steps whose gradient overflowed

    def leave(self, folder: Path) -> None:
        write_json(folder / FILE, asdict(self))

    def seconds_left(self) -> float | None:
        if self.seconds_each is None:
            return None
        return max(self.seconds_each * (self.total - self.done) - (time.time() - self.time), 0.0)


def read(folder: Path) -> Progress | None:
    """The progress last left in a folder; None where there is none or it cannot be read."""
    try:
        progress = Progress(**read_json(folder / FILE))
        float(progress.done + progress.total + progress.time + (progress.seconds_each or 0))
    except (DataError, TypeError, ValueError):
        return None
    return progress


def track(
    items: Iterable[Item], total: int, stage: str, *, folder: Path | None = None, each: int = 1
) -> Iterator[Item]:
    """Yield the items, counting `each` for each; log and write the count every EVERY_S and at the end."""
    started = shown = time.monotonic()
    done = 0
    if folder:
        Progress(stage, done, total, None).leave(folder)
    for item in items:
        yield item
        done = min(done + each, total)
        now = time.monotonic()
        if now - shown >= EVERY_S or done == total:
            shown, pace = now, (now - started) / done
            log.info("%d/%d %s  %.2f s each  eta %s", done, total, stage, pace, clock(pace * (total - done)))
            if folder:
                Progress(stage, done, total, pace).leave(folder)


def clock(seconds: float) -> str:
    """1:02:03 or 2:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
