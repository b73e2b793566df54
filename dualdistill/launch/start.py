"""Start a job on the devices it takes: here on one, in a process each on several."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from dualdistill.launch import gpus, processes, ranks


def on_devices(count: int, work: Callable[[], None], words: Sequence[str] = ()) -> None:
    """Do the work on that many devices that no other job uses; `words` are its command line.

    Without GPUs the devices are processes. A job that takes none, or runs under torchrun, uses what it sees.
    """
    if ranks.is_rank():
        work()
        return
    among = gpus.pool() if count else ()
    with gpus.hold(count if among else 0, among) as held:
        if held.ids:  # seen by CUDA, which is not loaded yet, and by the ranks
            os.environ[gpus.VISIBLE] = ",".join(held.ids)
        if count > 1:
            processes.run([sys.executable, "-m", "dualdistill", *words], count, held.locks)
        else:
            work()
