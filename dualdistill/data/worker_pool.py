"""Processes that work through a list of chunks, each with its own worker object, results in order."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import cv2

from dualdistill.errors import DataError

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")
Work = Callable[[Chunk], Result]

_work: Work[Any, Any]  # of this process


def results(
    begin: Callable[..., Work[Chunk, Result]],
    arguments: tuple[Any, ...],
    chunks: Iterable[Chunk],
    workers: int,
) -> Iterator[Result]:
    """The results of all chunks; `begin` makes the worker of a process from the arguments."""
    if workers == 1:
        yield from map(begin(*arguments), chunks)
        return
    # spawned, not forked: the caller may hold threads of torch or of OpenCV
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(workers, context, _begin, (begin, arguments)) as pool:
            yield from pool.map(_do, chunks)
    except BrokenProcessPool as error:
        hint = "often for want of memory: lower workers; the same command goes on"
        raise DataError("a worker process has died", hint=hint) from error


def _begin(begin: Callable[..., Work[Any, Any]], arguments: tuple[Any, ...]) -> None:
    global _work
    cv2.setNumThreads(1)  # OpenCV's threads would only wait for each other
    _work = begin(*arguments)


def _do(chunk: Any) -> Any:
    return _work(chunk)
