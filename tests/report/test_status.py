"""The status of runs in every state, from the files and locks that trainings leave."""

import contextlib
import fcntl
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dualdistill.errors import NumericsError
from dualdistill.plan.plan import Plan, Run
from dualdistill.report import status, status_screen
from dualdistill.report.status_screen import text
from dualdistill.store.files import read_json, write_json
from dualdistill.store.lock import run_lock
from dualdistill.store.progress import Progress
from dualdistill.training.progress import log_event, log_failure


@pytest.fixture
def run(plan: Plan) -> Run:
    return next(run for run in plan.runs.values() if "bevdepth-r50" in run.rows)


@pytest.fixture
def state(plan: Plan, run: Run) -> Path:
    """The run's folder state/; nothing is trained."""
    shutil.rmtree(plan.folder(run))
    folder = plan.folder(run) / "state"
    folder.mkdir(parents=True)
    return folder


def saved(state: Path, step: int) -> None:
    checkpoint = {"name": f"step-{step:08d}.pt", "sha256": "0" * 64, "step": step}
    write_json(state / "head.json", {"checkpoints": [checkpoint], "spec_sha": "0" * 64, "total": 100})


def reported(state: Path, step: int, ago: float = 0.0) -> None:
    losses = {"task": 2.0, "mfd": 0.5}
    Progress("train", step, 100, 60.0, time.time() - ago, epoch=1.25, losses=losses).leave(state)


def seen(plan: Plan, run: Run) -> tuple[str, str, str]:
    shown = status.run_status(plan, run, "a name")
    return shown.state, shown.step, shown.time


def test_a_run_without_files_waits(plan: Plan, run: Run):
    shutil.rmtree(plan.folder(run))
    assert seen(plan, run) == ("waiting", "", "")


def test_a_finished_run_shows_the_time_it_took(plan: Plan, run: Run):
    path = plan.folder(run) / "run.json"
    write_json(path, read_json(path) | {"seconds": 3723.4})
    assert seen(plan, run) == ("done", "", "took 1:02:03")
    write_json(path, read_json(path) | {"seconds": 63.4})
    assert seen(plan, run) == ("done", "", "took 1:03")


def test_a_running_run_shows_the_time_left(plan: Plan, run: Run, state: Path):
    with run_lock(state):
        assert seen(plan, run) == ("running", "", "")
        reported(state, 98, ago=-0.5)
        os.utime(state / "lock", (0, 0))  # held since long before
        assert seen(plan, run) == ("running", "98/100", "eta 2:00")
        reported(state, 98, ago=59.5)
        assert seen(plan, run) == ("running", "98/100", "eta 1:00")
        reported(state, 98, ago=1000)
        assert seen(plan, run) == ("running", "98/100", "eta 0:00")


def test_a_resumed_run_counts_from_its_checkpoint_and_not_from_older_progress(
    plan: Plan, run: Run, state: Path
):
    saved(state, 97)
    reported(state, 99, ago=5000)
    with run_lock(state):
        shown = status.run_status(plan, run, "a name")
    assert (shown.state, shown.step) == ("running", "97/100")
    assert shown.seconds == pytest.approx(180, abs=5)


def test_a_stopped_run_lacks_the_steps_after_its_checkpoint(plan: Plan, run: Run, state: Path):
    saved(state, 97)
    assert seen(plan, run) == ("stopped", "97/100", "")
    reported(state, 99, ago=5000)
    assert seen(plan, run) == ("stopped", "97/100", "lacks 3:00")


def test_a_failed_run_shows_its_error_and_log_until_it_starts_again(plan: Plan, run: Run, state: Path):
    saved(state, 97)
    with pytest.raises(NumericsError), log_failure(state):
        raise NumericsError("the loss is not finite", where="step 98")
    assert seen(plan, run) == ("failed", "97/100", "")
    assert "bevdepth-r50, seed 0 failed: step 98: the loss is not finite" in text(plan)
    log = plan.folder(run) / "logs" / "train.log"
    log.parent.mkdir()
    log.touch()
    with pytest.raises(MemoryError), log_failure(state):
        raise MemoryError("no room\nfor more")
    assert f"bevdepth-r50, seed 0 failed: MemoryError: no room; see {log}" in text(plan)
    with run_lock(state):
        assert seen(plan, run)[0] == "running"
    log_event(state, event="start", step=97, total=100)
    assert seen(plan, run)[0] == "stopped"


def test_a_stopped_run_has_not_failed(plan: Plan, run: Run, state: Path):
    with pytest.raises(SystemExit), log_failure(state):
        raise SystemExit(143)
    assert seen(plan, run)[0] == "waiting"


def test_it_is_unknown_who_holds_a_run_of_another_user(
    plan: Plan, run: Run, state: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(status, "is_held", lambda folder: None)
    saved(state, 97)
    assert seen(plan, run)[:2] == ("unknown", "97/100")


@pytest.mark.parametrize("text", ["", "[]", '{"checkpoints": []}', '{"step": "soon"}'])
def test_damaged_files_are_no_traceback(plan: Plan, run: Run, state: Path, text: str):
    for name in ("head.json", "progress.json", "events.jsonl"):
        (state / name).write_text(text)
    assert seen(plan, run) == ("stopped", "damaged", "")


def test_a_record_of_another_spec_is_foreign(plan: Plan, run: Run):
    path = plan.folder(run) / "run.json"
    write_json(path, read_json(path) | {"spec_sha": "0" * 64, "seconds": 5.0})
    assert seen(plan, run) == ("foreign", "", "")


def test_measured_stands_beside_reported_and_is_marked_as_not_comparable(plan: Plan, run: Run):
    heading, *lines, note, _ = text(plan).splitlines()
    assert heading.split() == ["run", "state", "step", "time", "mAP", "poster", "NDS", "poster"]
    line = next(line for line in lines if line.startswith("  bevdepth-r50, seed 0 "))
    measured, reported = re.findall(r"-?\d+\.\d", line)[:2]
    mean_ap = 100 * read_json(plan.folder(run) / "metrics.json")["mean_ap"]
    assert float(measured) == pytest.approx(mean_ap, abs=0.05)
    rows = plan.table("table_main").rows
    assert float(reported) == next(row.reported["mAP"].value for row in rows if run.id in row.runs)
    assert note.rstrip().endswith("here: world, not comparable")


def present(plan: Plan) -> list[str]:
    """All runs without those of released checkpoints, which are not imported here."""
    return [name for name, run in plan.runs.items() if not run.spec.imported]


def test_every_run_is_listed_once_under_a_table_or_a_heading_for_its_kind(plan: Plan):
    groups = status.gather(plan).groups
    assert next(iter(groups)) == "table_main"
    assert {"pre-trainings", "teachers"} <= groups.keys()
    listed = [run for runs in groups.values() for run in runs]
    assert sorted(run.run for run in listed) == sorted(present(plan))
    ids = re.compile(r"\S+-s\d-[0-9a-f]{10}\b")
    assert ids.findall(text(plan, ids=True)) == [run.run for run in listed]
    assert ids.findall(text(plan)) == []


def test_a_trained_run_without_scores_is_not_done(plan: Plan, run: Run):
    (plan.scores(run) / "metrics.json").unlink()
    assert seen(plan, run)[0] == "trained"
    with run_lock(plan.folder(run) / "state"):
        Progress("samples predicted", 30, 40, 2.0).leave(plan.folder(run) / "state")
        assert seen(plan, run) == ("predicting", "30/40", "eta 0:19")
        Progress("scoring", 0, 0, None).leave(plan.folder(run) / "state")
        assert seen(plan, run) == ("scoring", "", "")


def test_skipped_steps_are_shown_with_the_losses(plan: Plan, run: Run, state: Path):
    with run_lock(state):
        Progress("train", 40, 100, 60.0, losses={"task": 2.0}, skipped=3).leave(state)
        assert "loss 2:  task 2  (3 steps skipped)" in text(plan, 80)


def test_what_is_going_on_stands_on_top_with_bar_and_losses(plan: Plan, run: Run, state: Path):
    job = plan.job_state("world")
    with run_lock(state), run_lock(job):
        reported(state, 40, ago=-0.5)
        Progress("scenes rendered", 3, 12, 10.0, time.time() + 0.5).leave(job)
        world, training, losses, *_, last = text(plan, 80).splitlines()
    assert re.fullmatch(r"world +━+.* 3/12 scenes rendered +eta 1:30 *", world)
    assert re.fullmatch(r"bevdepth-r50, seed 0 +━+.* 40/100 +eta 1:00:00 *", training)
    assert losses.strip() == "epoch 1.2  loss 2.5:  mfd 0.5  task 2"
    assert re.match(r"running: \d+ of \d+ runs done, .*1 running", last)


def test_the_overall_state_is_complete_only_when_every_run_is_done(plan: Plan, state: Path):
    assert status.gather(plan).total.startswith("idle: ")
    with pytest.raises(MemoryError), log_failure(state):
        raise MemoryError("no room")
    now = status.gather(plan)
    assert now.total.startswith("failed: ")
    done = {"all": [replace(run, state="done") for run in now.runs]}
    runs = len(present(plan))
    assert replace(now, groups=done).total == f"complete: {runs} of {runs} runs done"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(plan: Plan, run: Run, state: Path, width: int):
    with run_lock(state):
        reported(state, 40)
        lines = text(plan, width).splitlines()
        assert len(lines) == len(text(plan).splitlines())
    assert max(map(len, lines)) <= width


WATCH = """
import pathlib, sys
from dualdistill.plan import plan
from dualdistill.report import status_screen
try:
    status_screen.watch(plan.load(pathlib.Path(sys.argv[1]), {}, pathlib.Path(sys.argv[2])))
except KeyboardInterrupt:
    sys.exit(130)
"""


def resize(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def test_watch_gives_the_terminal_back_after_ctrl_c(plan: Plan, folder: Path):
    """On a real terminal that becomes smaller meanwhile."""
    ours, theirs = pty.openpty()
    resize(theirs, 24, 80)
    line = [sys.executable, "-c", WATCH, str(folder / "config.yaml"), str(plan.results)]
    with subprocess.Popen(line, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        written = b""
        for shown, size in ((2, (10, 60)), (4, (24, 80))):
            while written.count(b"runs done") < shown:
                written += os.read(ours, 65536)
            resize(ours, *size)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # at the end of a terminal
            while more := os.read(ours, 65536):
                written += more
    assert process.returncode == 130
    enter, leave = written.index(b"\x1b[?1049h"), written.index(b"\x1b[?1049l")
    assert enter < written.index(b"runs done") < leave < written.rindex(b"runs done")
    assert written.rindex(b"\x1b[?25h") > written.rindex(b"\x1b[?25l")  # the cursor is visible again
    assert b"Traceback" not in written


def test_watch_prints_once_where_there_is_no_terminal(plan: Plan, capsys: pytest.CaptureFixture[str]):
    status_screen.watch(plan)
    assert capsys.readouterr().out.count("runs done") == 1
