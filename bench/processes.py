"""Time of a training step by the number of processes that share it, each with the same number of samples.

    python bench/processes.py --work FOLDER --rows dualdistill-r50-centerpoint --processes 1 2 4 8

Steps and sample are those of bench/full_size.py. `agreement` is the time that the processes need each step to
agree on stops and saves, apart from the step.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from full_size import PRECISIONS, machine, prepare, prepare_steps, timed

from dualdistill.distributed import largest

AGREEMENTS = 100
SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Measured:
    """A line of the table."""

    row: str
    precision: str
    processes: int
    batch: int  # of all processes
    step_s: float
    samples_per_s: float
    agreement_ms: float


def main(words: Sequence[str] | None = None) -> Path:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="for the sample; kept between calls")
    parser.add_argument("--rows", nargs="+", default=["dualdistill-r50-centerpoint"])
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--steps", type=int, default=5, help="timed, after one that is not")
    parser.add_argument("--batch", type=int, default=1, help="samples of a process")
    parser.add_argument("--recipe", default="matched")
    parser.add_argument("--width", type=int, default=1600, help="of the stored images")
    parser.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    parser.add_argument("--out", type=Path, help="a Markdown file; by default processes.md in --work")
    given = parser.parse_args(words)
    prepare(given.work / "root", given.width)
    lines = [measure_together(given, row, count) for row in given.rows for count in given.processes]
    columns = list(Measured.__dataclass_fields__)
    text = [f"{machine()}; {given.steps} timed steps after one that is not.", ""]
    text += [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    text += [f"| {' | '.join(str(value) for value in asdict(line).values())} |" for line in lines]
    out: Path = given.out or given.work / "processes.md"
    out.write_text("\n".join(text) + "\n")
    print(out.read_text())
    return out


def measure_together(given: argparse.Namespace, row: str, count: int) -> Measured:
    """Start the processes of one training and wait for what the first one has measured."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    result = given.work / "processes.json"
    members = [
        SPAWN.Process(target=measure, args=(given, row, rank, count, port, result)) for rank in range(count)
    ]
    for member in members:
        member.start()
    for member in members:
        member.join()
    if any(member.exitcode for member in members):
        raise RuntimeError(f"{row} on {count} processes failed")
    return Measured(**json.loads(result.read_text()))


def measure(given: argparse.Namespace, row: str, rank: int, count: int, port: int, result: Path) -> None:
    """Take steps as one of the processes."""
    logging.disable(logging.INFO)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "bench"}
    if count > 1:
        os.environ.update({name: str(value) for name, value in place.items()})
    take_step, _, _, device = prepare_steps(given, row, given.precision)
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // count))
    take_step()
    seconds = timed(lambda: [take_step() for _ in range(given.steps)], device) / given.steps
    agreement = timed(lambda: [largest(0, 0) for _ in range(AGREEMENTS)], device) / AGREEMENTS
    batch = given.batch * count
    figures = (round(seconds, 3), round(batch / seconds, 3), round(1000 * agreement, 3))
    if rank == 0:
        result.write_text(json.dumps(asdict(Measured(row, given.precision, count, batch, *figures))))


if __name__ == "__main__":
    main()
