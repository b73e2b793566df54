"""The GPUs of this machine, and the lock that gives each to one job at a time. Imports no torch.

The lock of a GPU is a socket with a name that only the kernel knows: bound by one process at a time, whatever
its user and its clone of the suite, and free again when the last process that inherited it has ended. A file
would need a folder that all users may write and nothing empties; /tmp, /run/lock and /dev/shm are not both.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from dualdistill.errors import BusyError, UserError

log = logging.getLogger(__name__)
VISIBLE = "CUDA_VISIBLE_DEVICES"
PATIENCE_S = 24 * 3600.0  # longest wait for GPUs that other jobs hold
REPEAT_S = 600.0  # between two lines of the log about the same wait
LIST = ("nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader")


@dataclass(frozen=True)
class Held:
    """GPUs that this process holds, and the file descriptors of their locks."""

    ids: tuple[str, ...]
    locks: tuple[int, ...]


def pool() -> tuple[str, ...]:
    """UUIDs of the NVIDIA GPUs that this process may use: all, or those that CUDA_VISIBLE_DEVICES lists.

    UUIDs, because a scheduler may number the GPUs of every job from 0.
    """
    installed = _installed()
    if VISIBLE not in os.environ:
        return installed
    chosen: list[str] = []
    for name in os.environ[VISIBLE].split(","):
        if (known := _uuid(name.strip(), installed)) is None:
            break  # CUDA, too, ignores what follows an unknown name
        chosen.append(known)
    return tuple(chosen)


def _installed() -> tuple[str, ...]:
    try:
        done = subprocess.run(LIST, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()  # no driver
    return tuple(line for line in done.stdout.split() if line.startswith("GPU-"))  # or there is a message


def _uuid(name: str, installed: Sequence[str]) -> str | None:
    """The UUID of a GPU by its number in nvidia-smi or the beginning of its UUID; a MIG device as named."""
    if name.isdecimal():
        return installed[int(name)] if int(name) < len(installed) else None
    if name.startswith("MIG-") and installed:
        return name
    matching = [uuid for uuid in installed if name.startswith("GPU-") and uuid.startswith(name)]
    return matching[0] if len(matching) == 1 else None


@contextmanager
def hold(count: int, among: Sequence[str], patience_s: float = PATIENCE_S) -> Iterator[Held]:
    """Hold GPUs that no other job holds, waiting for them if need be."""
    if count > len(among):
        visible = f"{VISIBLE} names {len(among)} GPUs" if VISIBLE in os.environ else f"there are {len(among)}"
        raise UserError(
            f"the job takes {count} GPUs, and {visible}", hint="see devices in config/config.yaml"
        )
    began = time.monotonic()
    said = -REPEAT_S
    with ExitStack() as stack:
        while len(taken := _free(count, among, stack)) < count:
            waited = time.monotonic() - began
            busy = f"the job takes {count} GPUs, and other jobs leave {len(taken)} of {len(among)} free"
            if waited >= patience_s:
                hint = f"{waited / 3600:.1f} hours have passed; the same command tries again"
                raise BusyError(busy, hint=hint)
            if waited - said >= REPEAT_S:
                said = waited
                log.info("waiting: %s", busy)
            # two jobs that each took a part of what both need must not meet again and again
            time.sleep(random.SystemRandom().uniform(0.5, 1.5))
        yield Held(tuple(taken), tuple(lock.fileno() for lock in taken.values()))


def _free(count: int, among: Sequence[str], stack: ExitStack) -> dict[str, socket.socket]:
    """Locks of that many free GPUs, which the stack closes; of fewer, none of which is kept."""
    with ExitStack() as attempt:
        taken: dict[str, socket.socket] = {}
        for uuid in among:
            lock = attempt.enter_context(socket.socket(socket.AF_UNIX))
            try:
                lock.bind(f"\0dualdistill {uuid}")
            except OSError:  # held
                continue
            taken[uuid] = lock
            if len(taken) == count:
                stack.enter_context(attempt.pop_all())
                break
    return taken
