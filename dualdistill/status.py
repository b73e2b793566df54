"""How far every run of a plan is, and how it scored beside what the poster reports. Only reads.

A run is done, running, stopped (it has a checkpoint and nobody works on it) or waiting.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualdistill.config import METRICS
from dualdistill.errors import DataError
from dualdistill.plan import Plan, Run
from dualdistill.records import DEVKIT_NAMES, RUN, read_metrics, read_run
from dualdistill.records import METRICS as METRICS_FILE
from dualdistill.storage import read_json

LOCKS = Path("/proc/locks")


@dataclass(frozen=True)
class Progress:
    """One run, as a line."""

    run: str
    state: str
    step: str
    measured: dict[str, float]  # metric -> points
    reported: dict[str, float]


def lines(plan: Plan) -> list[str]:
    """The plan's runs as text, one per line under a heading."""
    found = [progress(plan, run) for run in plan.runs.values()]
    width = max(len(one.run) for one in found)
    scores = "".join(f"  {name:>5} (poster)" for name in METRICS)
    text = [f"{'run':{width}}  {'state':7}  {'step':>13}{scores}"]
    for one in found:
        pairs = [(one.measured.get(name), one.reported.get(name)) for name in METRICS]
        scores = "".join(f"  {_points(ours):>5} {_points(theirs):>8}" for ours, theirs in pairs)
        text.append(f"{one.run:{width}}  {one.state:7}  {one.step:>13}{scores}")
    here = f"; here: {plan.data.name}, not comparable" if plan.data.world else ""
    split = "" if plan.settings.split == "val" else f"; scores: split {plan.settings.split}"
    return [*text, f"poster: nuScenes, full size{here}{split}"]


def progress(plan: Plan, run: Run) -> Progress:
    folder = plan.folder(run)
    state, step = _state(folder, run)
    scored = _record(read_metrics, plan.scores(run), METRICS_FILE)
    measured = {name: 100 * scored[key] for name, key in DEVKIT_NAMES.items()} if scored else {}
    return Progress(run.id, state, step, measured, _reported(plan, run))


def _state(folder: Path, run: Run) -> tuple[str, str]:
    """done | running | stopped | waiting | foreign, and the last checkpoint's step of how many."""
    step = ""
    head = folder / "state" / "head.json"
    if head.exists():
        try:
            content = read_json(head)
            step = f"{content['checkpoints'][0]['step']}/{content['total']}"
        except (DataError, KeyError, IndexError, TypeError):
            step = "damaged"
    if is_held(folder / "state" / "lock"):
        return "running", step
    trained = _record(read_run, folder, RUN)
    if trained:
        return ("done" if trained["spec_sha"] == run.spec.sha else "foreign"), step
    return ("stopped" if step else "waiting"), step


def is_held(lock: Path, locks: Path = LOCKS) -> bool:
    """Whether a process of this machine holds a run's lock, found without touching the lock."""
    if not lock.exists() or not locks.exists():
        return False
    inode = lock.stat().st_ino
    return bool(re.search(rf"FLOCK .*:{inode} ", locks.read_text()))


def _record(read: Any, folder: Path, name: str) -> dict[str, Any] | None:
    if not (folder / name).exists():
        return None
    try:
        record: dict[str, Any] = read(folder)
    except DataError:
        return None
    return record


def _reported(plan: Plan, run: Run) -> dict[str, float]:
    for table in plan.tables.values():
        for row in table.rows:
            if run.id in row.runs and row.reported:
                return {name: told.value for name, told in row.reported.items()}
    return {}


def _points(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
