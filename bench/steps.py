"""Time of training steps as a profile takes them, and the share of what the machine attains.

    python bench/steps.py --results results --rows bevdepth-r50 dualdistill-r50-mvp [--against CHECKOUT]

needs a results folder in which the teachers and initial weights of the rows are trained. Every row runs in a
process of its own, through the suite's own training up to its loop. The processes take their steps in turns,
round by round, so that other load on the machine meets all of them alike; times are CPU seconds of one
thread, medians over the rounds. The first row is the one that the others are divided by. With --against, the
same rows of another checkout, such as an earlier commit, take their turns in the same rounds.

What the machine attains is the rate of large convolutions with their backward pass, measured in each round.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from statistics import median
from typing import Any

COLUMNS = ("row", "checkout", "ms", "to_first", "gflop", "gflops", "share")
BATCH, CHANNELS, SIDE = 8, 64, 64  # of the convolutions that measure the machine
CONVOLUTIONS = 5
Process = subprocess.Popen[str]


def main(words: Sequence[str] | None = None) -> Path:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="folder with the runs that the rows need")
    parser.add_argument("--rows", nargs="+", default=["bevdepth-r50", "dualdistill-r50-mvp"])
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--profile", default="world")
    parser.add_argument("--precision", help="instead of the profile's")
    parser.add_argument("--steps", type=int, default=10, help="of each turn")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    parser.add_argument("--out", type=Path, help="a Markdown file; by default steps.md in --results")
    parser.add_argument("--serve", metavar="ROW", help=argparse.SUPPRESS)
    given = parser.parse_args(words)
    if given.serve:
        serve(given)
    here = Path(__file__).resolve().parents[1]
    checkouts = [here] if given.against is None else [here, given.against.resolve()]
    first, lines = given.rows[0], []
    for row in given.rows:
        names = [(row, checkout) for checkout in checkouts]
        if row != first:
            names.insert(0, (first, here))
        lines += measure(given, names)[-len(checkouts) :]
    out: Path = given.out or given.results / "steps.md"
    write(out, lines, given)
    print(out.read_text())
    return out


def measure(given: argparse.Namespace, names: list[tuple[str, Path]]) -> list[dict[str, Any]]:
    """Let some rows and checkouts take turns; the first is the one that the others are divided by."""
    with started(given, names) as processes:
        flop = [ask(process, "flop") for process in processes]
        turns = []
        for _ in range(given.rounds):
            turns.append([ask(process, "steps") for process in processes])
            turns[-1].append(ask(processes[0], "convolutions"))
    attained = median(turn[-1] for turn in turns)
    lines = []
    for i, ((row, checkout), gflop) in enumerate(zip(names, flop, strict=True)):
        seconds = median(turn[i] for turn in turns)
        figures = {
            "ms": round(1000 * seconds, 1),
            "to_first": round(median(turn[i] / turn[0] for turn in turns), 3),
            "gflop": round(gflop, 2),
            "gflops": round(gflop / seconds, 1),
            "share": round(median(gflop / turn[i] / turn[-1] for turn in turns), 3),
        }
        print(row, checkout.name, figures, f"attained {attained:.1f}", flush=True)
        lines.append({"row": row, "checkout": checkout.name} | figures | {"attained": attained})
    return lines


@contextmanager
def started(
    given: argparse.Namespace, names: list[tuple[str, Path]]
) -> Iterator[list[subprocess.Popen[str]]]:
    """A process for each row and checkout, ready for its first turn."""
    processes = []
    for row, checkout in names:
        words = ["--results", given.results.resolve(), "--config", given.config.resolve(), "--serve", row]
        words += ["--profile", given.profile, "--steps", str(given.steps)]
        words += ["--precision", given.precision] if given.precision else []
        processes.append(
            subprocess.Popen(
                [sys.executable, __file__, *map(str, words)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"},
            )
        )
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def ask(process: Process, question: str) -> Any:
    """Give a process its turn and wait for the figures."""
    assert process.stdin
    assert process.stdout
    print(question, file=process.stdin, flush=True)
    answer = process.stdout.readline()
    if not answer:
        raise RuntimeError("a row's process ended; its error is above")
    return json.loads(answer)


def serve(given: argparse.Namespace) -> None:
    """Train a row in this process, whose loop takes steps when it is asked to."""
    from dualdistill.plan import plan as planning
    from dualdistill.training import train
    from dualdistill.training.objective import Upstream

    logging.disable(logging.INFO)
    plan = planning.load(given.config, {"profile": given.profile}, given.results)
    run = plan.run(given.serve)
    upstream = Upstream(plan.teacher_folder(run), plan.start_file(run), plan.label_encoder_folder(run))
    spec = with_precision(run.spec, given.precision)
    train.train_steps = lambda state, setup, *_: answer(train, state, setup, given.steps)
    with tempfile.TemporaryDirectory() as folder:
        train.train(spec, Path(folder), plan.paths, upstream)


def with_precision(spec: Any, precision: str | None) -> Any:
    from dataclasses import replace

    return replace(spec, schedule=replace(spec.schedule, precision=precision)) if precision else spec


def answer(train: Any, state: Any, setup: Any, steps: int) -> None:
    """Answer questions until the process is killed."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    batches = chain.from_iterable(setup.feed.batches(0, setup.fabric) for _ in count())
    for _ in range(setup.feed.steps_per_epoch):
        next(batches)  # the first epoch loads what later ones may find in memory

    def take() -> None:
        state.step = 0  # however many steps the schedule has
        train.train_step(state, setup, batches)

    for line in sys.stdin:
        if line.strip() == "flop":
            with FlopCounterMode(display=False) as counter:
                take()
            figures = counter.get_total_flops() / 1e9
        elif line.strip() == "steps":
            take()  # warms the caches after the other processes' turns
            figures = cpu_seconds(lambda: [take() for _ in range(steps)]) / steps
        else:
            figures = rate(torch)
        print(json.dumps(figures), flush=True)


def rate(torch: Any) -> float:
    """GFLOP/s of convolutions with their backward pass."""
    layer = torch.nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
    layer = layer.to(memory_format=torch.channels_last)
    image = torch.randn(BATCH, CHANNELS, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    image.requires_grad_()

    def convolve() -> None:
        layer(image).sum().backward()

    convolve()
    flop = 3 * 2 * 9 * BATCH * CHANNELS**2 * SIDE**2 * CONVOLUTIONS
    return flop / cpu_seconds(lambda: [convolve() for _ in range(CONVOLUTIONS)]) / 1e9


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def write(out: Path, lines: list[dict[str, Any]], given: argparse.Namespace) -> None:
    """Write the table, with the machine's rate."""
    attained = median(line["attained"] for line in lines)
    text = [f"Profile {given.profile}, {given.rounds} rounds of {given.steps} steps; large convolutions", ""]
    text[0] += f" with backward attain {attained:.1f} GFLOP/s."
    text += [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    text += [f"| {' | '.join(str(line[column]) for column in COLUMNS)} |" for line in lines]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
