"""Several processes that train together, started as torchrun starts them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

import forked


def environment(rank: int, ranks: int, port: int) -> dict[str, str]:
    """The variables that torchrun sets for one of the ranks of a machine."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks}
    place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
    return {name: str(value) for name, value in place.items()}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def call(function: Callable[..., Any], *words: Any, ranks: int) -> list[int | None]:
    """Call a function in every rank; return the exit codes."""
    port = free_port()
    places = [environment(rank, ranks, port) for rank in range(ranks)]
    return join([forked.CONTEXT.Process(target=_call, args=(place, function, words)) for place in places])


def join(processes: list[BaseProcess]) -> list[int | None]:
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def _call(place: dict[str, str], function: Callable[..., Any], words: tuple[Any, ...]) -> None:
    os.environ.update(place)
    function(*words)
