"""How far every run of a plan is, and how it scored beside what the poster reports. Only reads.

A run is done, running, failed, stopped (it has a checkpoint and nobody works on it), waiting, foreign (its
folder holds another run's record), or unknown (this user may not ask whether somebody works on it). Its time is what it
took, what it still takes, or what a stopped one lacks.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualdistill.config.views import METRICS
from dualdistill.errors import DataError
from dualdistill.plan.plan import Plan, Run
from dualdistill.store.files import read_json
from dualdistill.store.lock import LOCK, is_held
from dualdistill.store.records import DEVKIT_NAMES, DIARY, PROGRESS, RUN, read_metrics, read_run
from dualdistill.store.records import METRICS as METRICS_FILE

WORDS = {"done": "took", "running": "eta", "stopped": "lacks"}


@dataclass(frozen=True)
class Progress:
    """One run, as a line."""

    run: str
    state: str
    step: str
    seconds: float | None  # taken by a run that is done, ahead of one that is not
    measured: dict[str, float]  # metric -> points
    reported: dict[str, float]
    failure: str = ""  # what ended a failed one, and its log

    @property
    def time(self) -> str:
        if self.seconds is None or self.state not in WORDS:
            return ""
        minutes, seconds = divmod(int(self.seconds), 60)
        hours, minutes = divmod(minutes, 60)
        clock = f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
        return f"{WORDS[self.state]} {clock}"


def lines(plan: Plan) -> list[str]:
    """The plan's runs as text, one per line under a heading."""
    found = [progress(plan, run) for run in plan.runs.values()]
    width = max(len(one.run) for one in found)
    scores = "".join(f"  {name:>5} (poster)" for name in METRICS)
    text = [f"{'run':{width}}  {'state':7}  {'step':>13}  {'time':>13}{scores}"]
    for one in found:
        pairs = [(one.measured.get(name), one.reported.get(name)) for name in METRICS]
        scores = "".join(f"  {_points(ours):>5} {_points(theirs):>8}" for ours, theirs in pairs)
        text.append(f"{one.run:{width}}  {one.state:7}  {one.step:>13}  {one.time:>13}{scores}")
    here = f"; here: {plan.data.name}, not comparable" if plan.data.world else ""
    split = "" if plan.settings.split == "val" else f"; scores: split {plan.settings.split}"
    done = sum(one.state == "done" for one in found)
    failures = [f"{one.run} failed: {one.failure}" for one in found if one.failure]
    return [*text, *failures, f"{done} of {len(found)} runs done; poster: nuScenes, full size{here}{split}"]


def progress(plan: Plan, run: Run) -> Progress:
    folder = plan.folder(run)
    state, step, seconds = _state(folder, run)
    scored = _record(read_metrics, plan.scores(run), METRICS_FILE)
    measured = {name: 100 * scored[key] for name, key in DEVKIT_NAMES.items()} if scored else {}
    failure = _failure(folder) if state == "failed" else ""
    return Progress(run.id, state, step, seconds, measured, _reported(plan, run), failure)


def _state(folder: Path, run: Run) -> tuple[str, str, float | None]:
    """The state, the step of how many, and the seconds that go with it."""
    saved, total = _checkpoint(folder / "state" / "head.json")
    told = _told(folder / "state" / PROGRESS)
    step = "damaged" if total is None else f"{saved}/{total}" if total else ""
    trained = _record(read_run, folder, RUN)
    own = trained is not None and trained["spec_sha"] == run.spec.sha
    held = is_held(folder / "state")
    if held:
        if trained is not None or not told:
            return "running", step, None
        since = (folder / "state" / LOCK).stat().st_mtime
        if told["time"] < since:
            # said before the stop: this process goes on at the checkpoint and has not spoken yet
            told |= {"time": since, "step": saved}
        left = told["seconds_per_step"] * (told["total"] - told["step"]) - (time.time() - told["time"])
        return "running", f"{told['step']:.0f}/{told['total']:.0f}", max(left, 0.0)
    if trained is not None:
        return "done" if own else "foreign", step, trained.get("seconds") if own else None
    if _failure(folder):
        return "failed", step, None
    if held is None:
        return "unknown", step, None
    if not step:
        return "waiting", "", None
    # a stopped run goes on at its checkpoint, not where it was seen last
    return "stopped", step, told["seconds_per_step"] * (total - saved) if told and total else None


def _checkpoint(head: Path) -> tuple[int, int | None]:
    """The step of the last checkpoint and how many there are: 0 before the first, None of a damaged one."""
    if not head.exists():
        return 0, 0
    try:
        content = read_json(head)
        return int(content["checkpoints"][0]["step"]), int(content["total"])
    except (DataError, KeyError, IndexError, TypeError, ValueError):
        return 0, None


def _told(path: Path) -> dict[str, float]:
    """What the training last said of itself; nothing if that cannot be read."""
    try:
        content = read_json(path)
        return {name: float(content[name]) for name in ("step", "total", "seconds_per_step", "time")}
    except (DataError, KeyError, TypeError, ValueError):
        return {}


def _failure(folder: Path) -> str:
    """What ended the last attempt, and the log if there is one; nothing unless that was a failure."""
    try:
        last = json.loads((folder / "state" / DIARY).read_text().splitlines()[-1])
        why = last["why"].partition("\n")[0] if last["event"] == "failure" else ""
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ""
    log = folder / "logs" / "train.log"
    return f"{why}; see {log}" if why and log.exists() else why


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
