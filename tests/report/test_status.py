"""What `status` says of runs in every state, from the files and locks that trainings leave."""

import os
import re
import shutil
import time
from pathlib import Path

import pytest

from dualdistill.errors import NumericsError
from dualdistill.plan.plan import Plan, Run
from dualdistill.report import status
from dualdistill.store.files import read_json, write_json
from dualdistill.store.lock import run_lock
from dualdistill.training.progress import note, noting_failure


@pytest.fixture
def run(plan: Plan) -> Run:
    return next(run for run in plan.runs.values() if "bevdepth-r50" in run.rows)


@pytest.fixture
def state(plan: Plan, run: Run) -> Path:
    """The run's state/, with nothing trained."""
    shutil.rmtree(plan.folder(run))
    folder = plan.folder(run) / "state"
    folder.mkdir(parents=True)
    return folder


def saved(state: Path, step: int) -> None:
    checkpoint = {"name": f"step-{step:08d}.pt", "sha256": "0" * 64, "step": step}
    write_json(state / "head.json", {"checkpoints": [checkpoint], "spec_sha": "0" * 64, "total": 100})


def told(state: Path, step: int, ago: float = 0.0) -> None:
    found = {"step": step, "total": 100, "seconds_per_step": 60.0, "time": time.time() - ago}
    write_json(state / "progress.json", found)


def seen(plan: Plan, run: Run) -> tuple[str, str, str]:
    found = status.progress(plan, run)
    return found.state, found.step, found.time


def test_a_run_without_files_waits(plan: Plan, run: Run):
    shutil.rmtree(plan.folder(run))
    assert seen(plan, run) == ("waiting", "", "")


def test_a_run_that_is_done_says_what_it_took(plan: Plan, run: Run):
    path = plan.folder(run) / "run.json"
    write_json(path, read_json(path) | {"seconds": 3723.4})
    assert seen(plan, run) == ("done", "", "took 1:02:03")
    write_json(path, read_json(path) | {"seconds": 63.4})
    assert seen(plan, run) == ("done", "", "took 1:03")


def test_a_running_one_says_what_it_still_takes(plan: Plan, run: Run, state: Path):
    with run_lock(state):
        assert seen(plan, run) == ("running", "", "")
        told(state, 98, ago=-0.5)
        os.utime(state / "lock", (0, 0))  # held since long before
        assert seen(plan, run) == ("running", "98/100", "eta 2:00")
        told(state, 98, ago=59.5)
        assert seen(plan, run) == ("running", "98/100", "eta 1:00")
        told(state, 98, ago=1000)
        assert seen(plan, run) == ("running", "98/100", "eta 0:00")


def test_one_that_goes_on_starts_from_its_checkpoint_and_not_from_what_it_said_before(
    plan: Plan, run: Run, state: Path
):
    saved(state, 97)
    told(state, 99, ago=5000)
    with run_lock(state):
        found = status.progress(plan, run)
    assert (found.state, found.step) == ("running", "97/100")
    assert found.seconds == pytest.approx(180, abs=5)


def test_a_stopped_one_lacks_what_comes_after_its_checkpoint(plan: Plan, run: Run, state: Path):
    saved(state, 97)
    assert seen(plan, run) == ("stopped", "97/100", "")
    told(state, 99, ago=5000)
    assert seen(plan, run) == ("stopped", "97/100", "lacks 3:00")


def test_a_failed_one_says_why_and_where_its_log_is_until_it_starts_again(plan: Plan, run: Run, state: Path):
    saved(state, 97)
    with pytest.raises(NumericsError), noting_failure(state):
        raise NumericsError("the loss is not finite", where="step 98")
    assert seen(plan, run) == ("failed", "97/100", "")
    assert f"{run.id} failed: step 98: the loss is not finite" in status.lines(plan)
    log = plan.folder(run) / "logs" / "train.log"
    log.parent.mkdir()
    log.touch()
    with pytest.raises(MemoryError), noting_failure(state):
        raise MemoryError("no room\nfor more")
    assert f"{run.id} failed: MemoryError: no room; see {log}" in status.lines(plan)
    with run_lock(state):
        assert seen(plan, run)[0] == "running"
    note(state, event="start", step=97, total=100)
    assert seen(plan, run)[0] == "stopped"


def test_a_stop_is_no_failure(plan: Plan, run: Run, state: Path):
    with pytest.raises(SystemExit), noting_failure(state):
        raise SystemExit(143)
    assert seen(plan, run)[0] == "waiting"


def test_it_is_unknown_who_holds_a_run_of_another_user(
    plan: Plan, run: Run, state: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(status, "is_held", lambda folder: None)
    assert status.progress(plan, run).state == "waiting"
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


def test_measured_stands_beside_reported_and_says_that_it_is_not_comparable(plan: Plan, run: Run):
    heading, *lines, last = status.lines(plan)
    assert re.findall(r"\S+", heading)[:4] == ["run", "state", "step", "time"]
    line = next(line for line in lines if line.startswith(run.id))
    measured, reported = re.findall(r"-?\d+\.\d", line)[:2]
    assert float(measured) == pytest.approx(
        100 * read_json(plan.folder(run) / "metrics.json")["mean_ap"], abs=0.05
    )
    assert float(reported) == next(
        row.reported["mAP"].value for row in plan.table("table_main").rows if run.id in row.runs
    )
    done = sum("  done  " in line for line in lines)
    assert last.startswith(f"{done} of {len(plan.runs)} runs done")
    assert last.endswith("here: world, not comparable")
