"""Training curves: one panel per loss term, one line per run, every point a mean over some steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from dualdistill.errors import DataError
from dualdistill.plan.figures import FigureView
from dualdistill.plan.plan import Plan
from dualdistill.report.figures import layout
from dualdistill.store.files import sha256_file
from dualdistill.store.records import NOT_LOSSES, read_run

HISTORY = "history.jsonl"
COLUMNS = 4
Array = NDArray[np.float64]


def draw(plan: Plan, view: FigureView) -> Figure:
    histories = {run: _read(plan.results / "runs" / run) for run in view.runs}
    every = view.options["mean_over"]
    terms = list(dict.fromkeys(term for history in histories.values() for term in history))
    terms = [term for term in sorted(terms, key=_order(histories)) if term not in NOT_LOSSES]
    lines = -(-len(terms) // COLUMNS)
    handles = [
        Line2D([], [], color=layout.colour(number), label=name)
        for number, name in enumerate(names(plan, view))
    ]
    figure, below = layout.with_legend(1.1 + 1.35 * lines, handles)
    grid = below.subplots(lines, COLUMNS, squeeze=False, sharex=True)
    for axes in grid.flat[len(terms) :]:
        axes.set_visible(False)
    for axes, term in zip(grid.flat, terms, strict=False):
        for run, history in histories.items():
            if term in history:
                step, loss = means(history["step"], history[term], every)
                # a history shorter than one block is a single point, which a line would not show
                axes.plot(step, loss, color=_colour(plan, view, run), marker="" if len(step) > 1 else ".")
        axes.set_title(term)
        axes.set_ylim(bottom=0)
    for place in range(len(terms) - COLUMNS, len(terms)):
        # the lowest panel of its column, which need not be in the last row
        if place >= 0:
            grid.flat[place].tick_params(axis="x", labelbottom=True)
    below.supxlabel(
        f"optimizer step; each point is the mean of {every} steps" if every > 1 else "optimizer step"
    )
    below.supylabel("loss, weighted")
    layout.small_print(figure, _origin(plan, view))
    return figure


def names(plan: Plan, view: FigureView) -> list[str]:
    """The rows in words; by their names in variants.yaml where the words of two rows are the same."""
    rows: list[str] = view.options["rows"]
    words = {row: view.networks[run] for run in view.runs for row in rows if row in plan.runs[run].rows}
    return list(words.values()) if len(set(words.values())) == len(rows) else rows


def _origin(plan: Plan, view: FigureView) -> str:
    """Data, seeds, and the seed of the teachers."""
    seeds = plan.settings.seeds
    several = f"seeds {', '.join(map(str, seeds))}, a line each"
    taught = any(plan.runs[run].teacher for run in view.runs)
    words = [f"{plan.data.printed_name}, split train", several if len(seeds) > 1 else f"seed {seeds[0]}"]
    seed = plan.settings.teacher_seed
    teacher = "every student with the teacher of its seed" if seed == "each" else f"teacher of seed {seed}"
    return "; ".join([*words, *[teacher] * taught]) + "."


def _read(folder: Path) -> dict[str, Array]:
    history = read(folder)
    if not history:
        hint = "take its row out of the figure, or give it schedule.epochs"
        raise DataError("a training without a step has no curve", where=str(folder / HISTORY), hint=hint)
    return history


def read(folder: Path) -> dict[str, Array]:
    """Every column of a run's history, NaN where a step lacks it; run.json must have recorded the file."""
    path = folder / HISTORY
    promised = read_run(folder)["outputs"].get(HISTORY)
    if not path.exists() or sha256_file(path) != promised:
        raise DataError("the history is not the one of run.json", where=str(path), hint="train the run again")
    steps: list[dict[str, float]] = [json.loads(line) for line in path.read_text().splitlines()]
    terms = dict.fromkeys(term for step in steps for term in step)
    return {term: np.array([step.get(term, np.nan) for step in steps], dtype=float) for term in terms}


def means(step_S: Array, loss_S: Array, every: int) -> tuple[Array, Array]:
    """Means over blocks of steps, at the middles of the blocks; an incomplete last block is left out."""
    full = len(step_S) // every * every or len(step_S)
    every = min(every, len(step_S))
    return step_S[:full].reshape(-1, every).mean(axis=1), loss_S[:full].reshape(-1, every).mean(axis=1)


def _order(histories: dict[str, dict[str, Array]]) -> Any:
    """Sort key: first the terms of all runs, then those of some runs, each by name."""
    return lambda term: (sum(term not in history for history in histories.values()), term)


def _colour(plan: Plan, view: FigureView, run: str) -> str:
    rows = view.options["rows"]
    return layout.colour(next(number for number, row in enumerate(rows) if row in plan.runs[run].rows))
