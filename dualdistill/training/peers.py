"""The other processes of a training: notice when one has died, and end with a sentence instead of waiting.

Gloo reports a closed connection at once, NCCL may not, and a process that waits on a GPU runs no Python. So
each rank also leaves a sign of life in the store of the process group every EVERY_S, from a thread. Neither
depends on how long a step, a checkpoint or the first batch takes.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist

from dualdistill.distributed import ranks
from dualdistill.errors import PeerError
from dualdistill.training.progress import record_failure

EVERY_S = 1.0
SILENCE_S = 20.0  # after which a rank counts as dead
LEFT, FAILED = "left", "failed"  # last signs of a rank
GRACE_S = 5.0  # in which the error of a rank reaches the others by itself
PATIENCE = timedelta(seconds=10)  # of the store, which answers at once
HINT = "the cause is in the output of that process; the same command goes on from the last checkpoint"


@contextmanager
def watched(folder: Path) -> Iterator[None]:
    """End the process when another one of the training has died; the block is the training."""
    if ranks() == 1:
        yield
        return
    watch = _Watch(folder)
    last = FAILED
    try:
        yield
        last = LEFT
    except SystemExit:  # a stop that all ranks have agreed on
        last = LEFT
        raise
    finally:
        watch.end(last)


@contextmanager
def explained() -> Iterator[None]:
    """Turn the error of a lost connection to another process into a sentence."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error) or "NCCL" in str(error):
            raise PeerError("another process of this training has ended", hint=HINT) from error
        raise


class _Watch(threading.Thread):
    """Leaves signs of life of this rank and looks for those of the others."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder, self.me, self.over = folder, dist.get_rank(), threading.Event()
        # a connection of its own: a wait of the process group would hold up this one
        where = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
        store = dist.TCPStore(*where, is_master=False, wait_for_workers=False, timeout=PATIENCE)
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")  # the store may outlive a first one
        self.store = dist.PrefixStore(f"alive/{attempt}", store)
        self.store.set(str(self.me), "0")
        dist.barrier()  # from here on every rank has left a sign
        self.start()

    def run(self) -> None:
        seen = dict.fromkeys(set(range(dist.get_world_size())) - {self.me}, ("", time.monotonic()))
        count = 0
        while not self.over.wait(EVERY_S):
            count += 1
            try:
                self.store.set(str(self.me), str(count))
                signs = {rank: self.store.get(str(rank)).decode() for rank in seen}
            except RuntimeError:  # the store went with the process that held it
                if not self.over.wait(GRACE_S):
                    self._give_up("the first process")
                return
            now = time.monotonic()
            seen = {rank: old if old[0] == signs[rank] else (signs[rank], now) for rank, old in seen.items()}
            for rank, (sign, since) in seen.items():
                limit = {LEFT: float("inf"), FAILED: GRACE_S}.get(sign, SILENCE_S)
                if now - since > limit:
                    self._give_up(f"process {rank}")

    def end(self, last: str) -> None:
        self.over.set()
        self.join()
        with suppress(RuntimeError):
            self.store.set(str(self.me), last)

    def _give_up(self, who: str) -> None:
        """End the process at once: its main thread may wait for the dead one forever."""
        error = PeerError(f"{who} of this training has ended", hint=HINT)
        record_failure(self.folder, error)
        print(error, file=sys.stderr, flush=True)
        os._exit(error.exit_code)
