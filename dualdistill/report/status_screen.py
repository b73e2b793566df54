"""The status as text: a snapshot, or a screen that is drawn again and again."""

from __future__ import annotations

import signal
import time
from io import StringIO
from types import FrameType

from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dualdistill.config.views import METRICS
from dualdistill.plan.plan import Plan
from dualdistill.report.status import ACTIVE, RunStatus, Status, gather
from dualdistill.store.progress import Progress, clock

EVERY_S = 1.0
WIDE = 108  # columns from which the poster's numbers fit, too
NARROW = 70  # columns below which steps and times do not fit
UNLIMITED = 1000  # columns of a file or a pipe
COLOURS = {"done": "green", "failed": "bold red", "stopped": "yellow", "waiting": "dim"}
COLOURS |= dict.fromkeys(ACTIVE, "bold cyan")


def show(plan: Plan, *, ids: bool = False) -> None:
    """Print a snapshot."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = UNLIMITED
    console.print(_whole(gather(plan), console.width, ids))


def text(plan: Plan, width: int = UNLIMITED, *, ids: bool = False) -> str:
    """A snapshot without colours."""
    console = Console(file=StringIO(), width=width, highlight=False)
    with console.capture() as captured:
        console.print(_whole(gather(plan), width, ids))
    return captured.get()


def watch(plan: Plan, *, ids: bool = False) -> None:
    """Draw the status every EVERY_S until Ctrl-C, and leave the last one behind.

    Where there is no terminal to draw on, print one snapshot.
    """
    console = Console(highlight=False)
    try:
        if console.is_terminal:
            signal.signal(signal.SIGTERM, _stop)  # so that the terminal gets its screen back
            with Live(console=console, screen=True, auto_refresh=False) as live:
                while True:
                    live.update(_screen(gather(plan), console.width, ids), refresh=True)
                    time.sleep(EVERY_S)
    finally:
        show(plan, ids=ids)


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _screen(status: Status, width: int, ids: bool) -> Layout:
    """Cut the list at its foot where it does not fit; the totals stay."""
    layout = Layout()
    body = Group(*_active(status, width), _overview(status, width, ids), *_failures(status))
    layout.split_column(Layout(body), Layout(_totals(status), size=2))
    return layout


def _whole(status: Status, width: int, ids: bool) -> Group:
    return Group(*_active(status, width), _overview(status, width, ids), *_failures(status), _totals(status))


def _active(status: Status, width: int) -> list[RenderableType]:
    """A progress bar for every job in progress, and the losses of a training."""
    jobs = [(name, job.stage if job else "", job) for name, job in status.jobs.items()]
    jobs += [(run.name, run.state, run.progress) for run in status.runs if run.state in ACTIVE]
    parts: list[RenderableType] = []
    names = max((len(name) for name, _, _ in jobs), default=0)
    for name, stage, progress in jobs:
        line = Table.grid(padding=(0, 2))
        line.add_column(width=min(names, max(width - 52, 16)))
        line.add_column(width=10 if width < WIDE else 30)
        line.add_row(_cell(name, "bold cyan"), *_bar(stage, progress))
        parts.append(line)
        if progress and progress.losses:
            parts.append(_cell(f"  {_losses(progress)}", "dim"))
    return [*parts, Text()] if parts else []


def _bar(stage: str, progress: Progress | None) -> list[RenderableType]:
    if progress is None or not progress.total:
        return [Text(), Text(stage)]
    left = progress.seconds_left()
    count = f"{progress.done}/{progress.total}" + (f" {stage}" if progress.stage == stage else "")
    eta = "" if left is None else f"eta {clock(left)}"
    return [ProgressBar(total=progress.total, completed=progress.done), _cell(count), _cell(eta)]


def _losses(progress: Progress) -> str:
    epoch = "" if progress.epoch is None else f"epoch {progress.epoch:.1f}  "
    terms = "  ".join(f"{name} {value:.3g}" for name, value in progress.losses.items())
    skipped = f"  ({progress.skipped} steps skipped)" if progress.skipped else ""
    return f"{epoch}loss {sum(progress.losses.values()):.4g}:  {terms}{skipped}"


def _overview(status: Status, width: int, ids: bool) -> Table:
    """Runs under their headings."""
    overview = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    overview.add_column("run", min_width=16)
    for heading in ("state", "step", "time") if width >= NARROW else ("state",):
        overview.add_column(heading, no_wrap=True, justify="left" if heading == "state" else "right")
    for metric in METRICS:
        overview.add_column(metric, no_wrap=True, justify="right", min_width=5)
        if width >= WIDE:
            overview.add_column("poster", no_wrap=True, justify="right")
    if ids:
        overview.add_column("id", no_wrap=True)
    for heading, runs in status.groups.items():
        overview.add_row(_cell(heading, "bold"))
        for run in runs:
            overview.add_row(*_row(run, width, ids))
    return overview


def _row(run: RunStatus, width: int, ids: bool) -> list[RenderableType]:
    cells: list[RenderableType] = [_cell(f"  {run.name}"), Text(run.state, style=COLOURS.get(run.state, ""))]
    if width >= NARROW:
        cells += [Text(run.step), Text(run.time)]
    for metric in METRICS:
        cells.append(_points(run.measured.get(metric)))
        if width >= WIDE:
            cells.append(_points(run.reported.get(metric)))
    return [*cells, Text(run.run, style="dim")] if ids else cells


def _failures(status: Status) -> list[RenderableType]:
    return [Text(f"{run.name} failed: {run.failure}", style="red") for run in status.runs if run.failure]


def _totals(status: Status) -> Group:
    return Group(_cell(status.note, "dim"), _cell(status.total, "bold"))


def _cell(content: str, style: str = "") -> Text:
    """Text of one line, cut where it does not fit."""
    return Text(content, style=style, no_wrap=True, overflow="ellipsis")


def _points(value: float | None) -> Text:
    return Text("-" if value is None else f"{value:.1f}")
