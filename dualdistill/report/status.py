"""The progress of every run of a plan, and its scores beside those that the poster reports. Only reads.

The states of a run:
  waiting     nothing has been done
  running     it trains
  predicting  it is trained, and its boxes are being predicted
  scoring     its boxes are being scored
  stopped     it has a checkpoint, and no process works on it
  failed      the last attempt ended in an error
  trained     its boxes are not scored yet
  done        nothing is left to do
  foreign     its folder holds another run's record
  unknown     it is another user's, who alone may check whether a process works on it
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dualdistill.errors import DataError
from dualdistill.plan.plan import KINDS, WITHOUT_BOXES, Plan, Run
from dualdistill.plan.reader_names import names
from dualdistill.store.files import read_json
from dualdistill.store.lock import LOCK, is_held
from dualdistill.store.progress import Progress, clock, read
from dualdistill.store.records import DEVKIT_NAMES, EVENTS, METRICS_JSON, RUN, read_metrics, read_run

ACTIVE = ("running", "predicting", "scoring")
TIMES = {"done": "took", "trained": "took", "stopped": "lacks"} | dict.fromkeys(ACTIVE, "eta")
# stages of a progress file -> states of a trained run
STAGES = {"samples predicted": "predicting", "scoring": "scoring"}
# headings of runs that no table shows
KIND_HEADINGS = dict(
    zip(KINDS, ("teachers", "label encoders", "pre-trainings", "other students"), strict=True)
)


@dataclass(frozen=True)
class RunStatus:
    """State and scores of a run."""

    run: str
    name: str  # for people
    state: str
    step: str
    seconds: float | None  # taken by a finished run, left for an unfinished run
    measured: dict[str, float]  # metric -> points
    reported: dict[str, float]
    progress: Progress | None = None  # of an active run
    failure: str = ""  # the error that ended a failed run, and its log

    @property
    def time(self) -> str:
        if self.seconds is None or self.state not in TIMES:
            return ""
        return f"{TIMES[self.state]} {clock(self.seconds)}"


@dataclass(frozen=True)
class Status:
    """All runs by the table that shows them first, and the jobs on the data that are in progress."""

    groups: dict[str, list[RunStatus]]
    jobs: dict[str, Progress | None]
    note: str  # on the scores

    @property
    def runs(self) -> list[RunStatus]:
        return [run for group in self.groups.values() for run in group]

    @property
    def total(self) -> str:
        """The overall state, and how many runs are in each."""
        counts = Counter(run.state for run in self.runs)
        done = counts.pop("done", 0)
        if self.jobs or any(state in counts for state in ACTIVE):
            overall = "running"
        elif "failed" in counts:
            overall = "failed"
        else:
            overall = "idle" if counts else "complete"
        rest = "".join(f", {count} {state}" for state, count in counts.most_common())
        return f"{overall}: {done} of {len(self.runs)} runs done{rest}"


def gather(plan: Plan) -> Status:
    """The status of a whole plan now."""
    shown, optional = names(plan.runs), _optional(plan)
    groups = {
        heading: [run_status(plan, run, shown[run.id]) for run in runs]
        for heading, runs in _groups(plan).items()
    }
    groups = {
        heading: kept
        for heading, runs in groups.items()
        if (kept := [run for run in runs if run.state != "waiting" or run.run not in optional])
    }
    folders = sorted(plan.job_state("").glob("*"))
    jobs = {folder.name: read(folder) for folder in folders if is_held(folder)}
    here = f"; here: {plan.data.printed_name}, not comparable" if plan.data.synthetic else ""
    split = "" if plan.settings.split == "val" else f"; scores: split {plan.settings.split}"
    return Status(groups, jobs, f"poster: nuScenes, full size{here}{split}")


def _groups(plan: Plan) -> dict[str, list[Run]]:
    """Every run once: under the first table that shows it, or under a heading for its kind."""
    left = {name: run for name, run in plan.runs.items() if not plan.lacks_import(run)}
    groups: dict[str, list[Run]] = {}
    for table in plan.tables.values():
        groups[table.name] = [left.pop(run) for row in table.rows for run in row.runs if run in left]
    for kind, heading in KIND_HEADINGS.items():
        groups[heading] = [run for run in left.values() if run.spec.kind == kind]
    return {heading: runs for heading, runs in groups.items() if runs}


def _optional(plan: Plan) -> set[str]:
    """The runs of tables that are made on request only, which nobody waits for."""
    runs: dict[bool, set[str]] = {True: set(), False: set()}
    for table in plan.tables.values():
        runs[table.on_request] |= {run for row in table.rows for run in row.runs}
    return runs[True] - runs[False]


def run_status(plan: Plan, run: Run, name: str) -> RunStatus:
    folder = plan.folder(run)
    scores = _record(read_metrics, plan.scores(run), METRICS_JSON)
    state, step, seconds, progress = _state(folder, run)
    if state == "done" and not scores and run.spec.kind not in WITHOUT_BOXES:
        state = "trained"
    return RunStatus(
        run=run.id,
        name=name,
        state=state,
        step=step,
        seconds=seconds,
        measured={metric: 100 * scores[key] for metric, key in DEVKIT_NAMES.items()} if scores else {},
        reported=_reported(plan, run),
        progress=progress,
        failure=_failure(folder) if state == "failed" else "",
    )


def _state(folder: Path, run: Run) -> tuple[str, str, float | None, Progress | None]:
    """The state, the step out of all, the seconds taken or left, and the progress of an active run."""
    trained = _record(read_run, folder, RUN)
    if held := is_held(folder / "state"):
        return _active(folder / "state", trained is not None)
    saved, total = _checkpoint(folder / "state" / "head.json")
    step = "damaged" if total is None else f"{saved}/{total}" if total else ""
    if trained is not None:
        ours = trained["spec_sha"] == run.spec.sha
        return ("done", step, trained.get("seconds"), None) if ours else ("foreign", step, None, None)
    if _failure(folder):
        return "failed", step, None, None
    if held is None or not step:
        return "unknown" if held is None else "waiting", step, None, None
    # a stopped run resumes at its checkpoint, not at the step that it last reported
    last = read(folder / "state")
    lacks = last.seconds_each * (total - saved) if last and last.seconds_each and total else None
    return "stopped", step, lacks, None


def _active(state: Path, trained: bool) -> tuple[str, str, float | None, Progress | None]:
    """The same as `_state`, for a run on which a process works."""
    saved, total = _checkpoint(state / "head.json")
    since = (state / LOCK).stat().st_mtime
    progress = read(state)
    if trained:
        if progress is None or progress.time < since:  # the process has reported nothing yet
            return "running", "", None, None
        return STAGES.get(progress.stage, "running"), _step(progress), progress.seconds_left(), progress
    if progress is None:
        return "running", f"{saved}/{total}" if total else "", None, None
    if progress.time < since:  # left by an earlier process; the present one resumes at the checkpoint
        progress = replace(progress, time=since, done=saved)
    return "running", _step(progress), progress.seconds_left(), progress


def _step(progress: Progress) -> str:
    return f"{progress.done}/{progress.total}" if progress.total else ""


def _checkpoint(head: Path) -> tuple[int, int | None]:
    """The step of the last checkpoint and the number of all steps: 0 before the first, None if damaged."""
    if not head.exists():
        return 0, 0
    try:
        content = read_json(head)
        return int(content["checkpoints"][0]["step"]), int(content["total"])
    except (DataError, KeyError, IndexError, TypeError, ValueError):
        return 0, None


def _failure(folder: Path) -> str:
    """The error that ended the last attempt, and its log if there is one; empty unless it failed."""
    try:
        last = json.loads((folder / "state" / EVENTS).read_text().splitlines()[-1])
        why = last["why"].partition("\n")[0] if last["event"] == "failure" else ""
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ""
    log = folder / "logs" / "train.log"
    return f"{why}; see {log}" if why and log.exists() else why


def _record(load: Callable[[Path], dict[str, Any]], folder: Path, name: str) -> dict[str, Any] | None:
    if not (folder / name).exists():
        return None
    try:
        return load(folder)
    except DataError:
        return None


def _reported(plan: Plan, run: Run) -> dict[str, float]:
    for table in plan.tables.values():
        for row in table.rows:
            if run.id in row.runs and row.reported:
                return {metric: reported.value for metric, reported in row.reported.items()}
    return {}
