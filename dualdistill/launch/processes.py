"""A job as several processes, its ranks: started together, stopped together, and none left behind.

By hand, because torchrun gives its processes 30 s to end after a signal, which can be too short for a
checkpoint, and leaves them on their devices when it is killed itself.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import IO

from dualdistill.errors import UserError
from dualdistill.launch import ranks

GRACE_S = 10.0  # for the others to end by themselves when one has failed: they may wait for it forever
POLL_S = 0.1
LOCALHOST = "127.0.0.1"
STOPPED = (128 + signal.SIGTERM, 128 + signal.SIGINT)  # exit codes of a rank that was asked to stop
TRACEBACK = 1  # exit code after an error that is no sentence


class RankError(UserError):
    """The failure of one rank, which ended the job."""

    def __init__(self, what: str, exit_code: int, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.exit_code = exit_code


@dataclass
class Rank:
    """A process of the job, and the file in which it says why it ended."""

    number: int
    process: subprocess.Popen[bytes]
    report: IO[bytes]
    asked: bool = False  # to stop, by the launcher
    ended: float | None = None  # when its end was seen

    @property
    def code(self) -> int | None:
        """The exit code, negative after a signal; None while it runs."""
        return self.process.returncode if self.ended is not None else None

    @property
    def cut_off(self) -> bool:
        """Whether it ended because it was asked to before it could answer with a checkpoint."""
        return self.asked and self.code == -signal.SIGTERM

    @property
    def stopped(self) -> bool:
        return self.code in STOPPED or self.cut_off

    @property
    def failed(self) -> bool:
        return self.code not in (None, 0) and not self.stopped

    @property
    def reason(self) -> str:
        self.report.seek(0)
        return self.report.read().decode(errors="replace").strip()


class StopRequest:
    """Takes down SIGTERM and SIGINT to the launcher, for a while."""

    def __init__(self) -> None:
        self.received = 0

    def __enter__(self) -> StopRequest:
        self.before = {
            number: signal.signal(number, self._record) for number in (signal.SIGTERM, signal.SIGINT)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self.received = number


def run(command: Sequence[str], count: int, locks: Sequence[int] = ()) -> None:
    """Run a command as several ranks on this machine, which inherit the locks of its devices.

    Raise RankError if one fails, and SystemExit if they were asked to stop.
    """
    with StopRequest() as stop, _port() as port, contextlib.ExitStack() as stack:
        group = [stack.enter_context(_start(command, number, count, port, locks)) for number in range(count)]
        _wait(group, stop)
        if cause := _cause(group):
            raise _error(cause, count)
        if stopped := [rank.code or 0 for rank in group if rank.stopped]:
            raise SystemExit(128 + stop.received if stop.received else max(stopped))


@contextlib.contextmanager
def _port() -> Iterator[int]:
    """A free port. It stays reserved: two sockets that allow it may share a port of which neither listens."""
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind((LOCALHOST, 0))
        yield reserved.getsockname()[1]


@contextlib.contextmanager
def _start(
    command: Sequence[str], number: int, count: int, port: int, locks: Sequence[int]
) -> Iterator[Rank]:
    """Start a rank; kill it if it outlives the block."""
    with tempfile.TemporaryFile() as report:
        place = {
            "RANK": number,
            "LOCAL_RANK": number,
            "WORLD_SIZE": count,
            "LOCAL_WORLD_SIZE": count,
            "GROUP_RANK": 0,
            "MASTER_ADDR": LOCALHOST,
            "MASTER_PORT": port,
            "TORCHELASTIC_RUN_ID": f"dualdistill-{port}",  # tells Fabric that these are torchrun's variables
            ranks.LAUNCHER: os.getpid(),
            ranks.REPORT: report.fileno(),
        }
        process = subprocess.Popen(
            command,
            env=os.environ | {name: str(value) for name, value in place.items()},
            pass_fds=(report.fileno(), *locks),
            process_group=0,  # so that Ctrl-C reaches the launcher alone
        )
        try:
            yield Rank(number, process, report)
        finally:
            process.kill()
            process.wait()


def _wait(group: Sequence[Rank], stop: StopRequest) -> None:
    """Wait until all have ended, or one has broken off and the others do not end within GRACE_S.

    When one was asked to stop, all are, and may take the time that their checkpoint needs.
    """
    deadline = math.inf
    while time.monotonic() < deadline:
        for rank in group:
            if rank.ended is None and rank.process.poll() is not None:
                rank.ended = time.monotonic()
        running = [rank for rank in group if rank.ended is None]
        if not running:
            return
        if deadline == math.inf and any(rank.failed or rank.cut_off for rank in group):
            deadline = time.monotonic() + GRACE_S
        if stop.received or any(rank.stopped for rank in group):
            for rank in running:
                if not rank.asked:
                    rank.asked = True
                    rank.process.terminate()
        time.sleep(POLL_S)


def _cause(group: Sequence[Rank]) -> Rank | None:
    """The failed rank that made the others fail, if any failed."""
    # when the first has stopped as asked, or one was cut off, tracebacks of others tell only that it is gone
    gone = group[0].stopped or any(rank.cut_off for rank in group)
    failed = [rank for rank in group if rank.failed and not (gone and rank.code == TRACEBACK)]
    return min(failed, key=_order, default=None)


def _order(rank: Rank) -> tuple[bool, bool, float, float]:
    """The killed before those with a sentence before those with a traceback; then the first to end."""
    code, reported = rank.code or 0, os.fstat(rank.report.fileno()).st_mtime
    return code > 0, code == TRACEBACK, rank.ended or 0.0, reported


def _error(rank: Rank, count: int) -> RankError:
    """The failure as a sentence; a traceback goes to the log before it."""
    code, reason, name = rank.code or 0, rank.reason, f"rank {rank.number} of {count}"
    log = os.path.realpath("/dev/stderr")
    hint = "the same command goes on" + (f"; see {log}" if os.path.isfile(log) else "")
    if code < 0:
        return RankError(f"{name} died of signal {-code} ({signal.strsignal(-code)})", 128 - code, hint)
    if not reason:
        return RankError(f"{name} ended with exit code {code}", code, hint)
    if code != TRACEBACK:
        return RankError(reason, code)
    print(reason, file=sys.stderr, flush=True)
    return RankError(f"{name} ended with {reason.splitlines()[-1]}", code, hint)
