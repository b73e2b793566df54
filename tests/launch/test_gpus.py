"""GPUs that a job may use, and the locks that give each to one job at a time."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dualdistill.errors import BusyError, UserError
from dualdistill.launch import gpus

Install = Callable[[int], list[str]]
HOLD = """
import json, sys, time
from dualdistill.launch import gpus
with gpus.hold(int(sys.argv[1]), sys.argv[2].split(",")) as held:
    began = time.monotonic()
    time.sleep(0.3)
    print(json.dumps([list(held.ids), began, time.monotonic()]))
"""
HOLD_UNTIL_KILLED = """
import subprocess, sys
from dualdistill.launch import gpus
with gpus.hold(1, sys.argv[1:]) as held:
    heir = subprocess.Popen(["sleep", "60"], pass_fds=held.locks)
    print(heir.pid, flush=True)
    heir.wait()
"""


def test_without_a_driver_there_are_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")  # left over from another machine
    assert gpus.pool() == ()


@pytest.mark.parametrize(
    ("visible", "numbers"),
    [
        (None, [0, 1, 2, 3]),
        ("2,0", [2, 0]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("1,7,2", [1]),  # CUDA ends the list at an unknown entry
    ],
)
def test_cuda_visible_devices_is_the_pool(
    visible: str | None, numbers: list[int], install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuids = install(4)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus.pool() == tuple(uuids[number] for number in numbers)


def test_a_gpu_has_one_name_however_it_is_called(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    uuids = install(2)
    for name in ("1", uuids[1]):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", name)
        assert gpus.pool() == (uuids[1],)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1,MIG-2")
    assert gpus.pool() == ("MIG-1", "MIG-2")


def test_a_job_takes_what_is_free_and_gives_it_back(install: Install) -> None:
    uuids = install(3)
    with gpus.hold(2, uuids) as first:
        assert first.ids == (uuids[0], uuids[1])
        with gpus.hold(1, uuids) as second:
            assert second.ids == (uuids[2],)
    with gpus.hold(3, uuids) as all_of_them:
        assert all_of_them.ids == tuple(uuids)


def test_a_job_that_waits_says_so_and_holds_nothing(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    uuids = install(3)
    with gpus.hold(2, uuids), caplog.at_level("INFO"):
        with pytest.raises(BusyError) as caught, gpus.hold(2, uuids, patience_s=0.2):
            pass
        with gpus.hold(1, uuids) as free:
            assert free.ids == (uuids[2],)
    busy = "the job takes 2 GPUs, and other jobs leave 1 of 3 free"
    assert caplog.messages == [f"waiting: {busy}"]
    assert str(caught.value) == f"{busy} (0.0 hours have passed; the same command tries again)"


def test_more_than_there_are_is_refused_at_once(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="the job takes 4 GPUs, and there are 2"), gpus.hold(4, install(2)):
        pass
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with (
        pytest.raises(UserError, match="the job takes 2 GPUs, and CUDA_VISIBLE_DEVICES names 1"),
        gpus.hold(2, gpus.pool()),
    ):
        pass


def test_no_two_processes_hold_a_gpu_at_the_same_time(install: Install) -> None:
    """Ten processes want 18 of eight GPUs, so that most wait for others."""
    pool = ",".join(install(8))
    wanted = (1, 2, 1, 4, 1, 2, 2, 1, 2, 2)
    line = [sys.executable, "-c", HOLD]
    jobs = [
        subprocess.Popen([*line, str(count), pool], stdout=subprocess.PIPE, text=True) for count in wanted
    ]
    spans = [json.loads(job.communicate(timeout=120)[0]) for job in jobs]
    assert [len(ids) for ids, _, _ in spans] == list(wanted)
    for uuid in pool.split(","):
        times = sorted((began, ended) for ids, began, ended in spans if uuid in ids)
        assert all(ended <= began for (_, ended), (began, _) in itertools.pairwise(times))


def test_a_gpu_is_held_as_long_as_a_process_that_inherited_its_lock_lives(install: Install) -> None:
    (uuid,) = install(1)
    line = [sys.executable, "-c", HOLD_UNTIL_KILLED, uuid]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as job:
        heir = int(job.stdout.readline())
        job.kill()
        job.wait()
        with pytest.raises(BusyError), gpus.hold(1, [uuid], patience_s=0):
            pass
        subprocess.run(["kill", "-9", str(heir)], check=True)
    with gpus.hold(1, [uuid], patience_s=30):
        pass
