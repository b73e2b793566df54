"""Loader processes: their number, and how batches, errors and the death of one reach the training.

They start once and work through all epochs. Which samples a batch holds is decided before, so their number
changes no result.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cv2
import joblib
import torch
from torch.utils.data import DataLoader, Dataset

from dualdistill.data.transport import Block
from dualdistill.errors import LoaderError, UserError

VARIABLE = "DUALDISTILL_LOADERS"  # a number, or auto
MOST = 16  # chosen by auto: each holds two batches
GPUS = Path("/proc/driver/nvidia/gpus")  # a folder for each, whatever CUDA_VISIBLE_DEVICES hides
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h

Keys = list[tuple[int, int]]  # of the samples of one batch


def load(samples: Dataset[Any], collate: Callable[[list[Any]], Any], keys: Iterable[Keys]) -> Iterator[Any]:
    """The batches of samples with these keys, in their order."""
    batches, count = _Batches(samples, collate), processes()
    if count == 0:
        yield from map(batches.read, keys)
        return
    loader = DataLoader(
        batches,
        sampler=keys,
        batch_size=None,
        num_workers=count,
        collate_fn=_as_it_is,
        worker_init_fn=begin,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # the seeds of the loaders, which nothing uses, draw no number elsewhere
    )
    try:
        with _own_signal():
            blocks = iter(loader)
        for block in blocks:
            if isinstance(block, UserError):
                raise block
            yield block.batch()
    except (RuntimeError, OSError, EOFError) as error:
        if not _is_of_a_death(error):
            raise
        hint = "often for want of memory: lower loaders; the same command goes on from the last checkpoint"
        raise LoaderError("a loader process has died", hint=hint) from error


def _is_of_a_death(error: Exception) -> bool:
    """Whether torch's DataLoader has lost a process, or a process its batch on the way here."""
    if isinstance(error, FileNotFoundError):
        return error.filename is None  # the socket of a process
    if isinstance(error, ConnectionError | EOFError):
        return True
    return "DataLoader worker (pid" in str(error)


def processes() -> int:
    """The number of loader processes that the settings ask for."""
    wanted = os.environ.get(VARIABLE, "0")
    return automatic() if wanted == "auto" else int(wanted)


def automatic() -> int:
    """A GPU's share of the cores, less the core that feeds it; none for a training on the CPU."""
    if not torch.cuda.is_available():
        return 0
    gpus = len(list(GPUS.iterdir())) if GPUS.is_dir() else torch.cuda.device_count()
    trained_on = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return share(joblib.cpu_count(), os.cpu_count() or 1, trained_on, gpus)


def share(cores: int, machine: int, processes: int, gpus: int) -> int:
    """Loaders for one of the processes of a training that may use `cores` of the machine's."""
    # on the whole machine, not on a scheduler's share, there may be a training on each of its GPUs
    sharing = max(processes, gpus) if cores == machine else processes
    return max(1, min(cores // sharing - 1, MOST))


class _Batches(Dataset[Any]):
    """Whole batches by the keys of their samples."""

    def __init__(self, samples: Dataset[Any], collate: Callable[[list[Any]], Any]) -> None:
        self.samples, self.collate = samples, collate

    def read(self, keys: Keys) -> Any:
        return self.collate([self.samples[key] for key in keys])

    def __getitem__(self, keys: Keys) -> Block | UserError:
        """The batch as a block, or the error, which torch would turn into a traceback."""
        try:
            return Block.of(self.read(keys))
        except UserError as error:
            return error


def _as_it_is(block: Any) -> Any:
    return block


def begin(number: int) -> None:
    """Keep a loader to one core, since there is one for each, and let it keep the memory of its images."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with suppress(OSError, AttributeError):  # another C library than glibc
        # glibc gives large arrays back to the kernel; to get new pages for the next image takes long
        for option, kept_bytes in ((M_MMAP_THRESHOLD, 2**25), (M_TRIM_THRESHOLD, 2**30)):
            ctypes.CDLL(None).mallopt(option, kept_bytes)


@contextmanager
def _own_signal() -> Iterator[None]:
    """Undo torch's handler of SIGCHLD, which would raise the death of a loader anywhere in the training.

    The next batch raises it as well, where `load` expects it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, before)
