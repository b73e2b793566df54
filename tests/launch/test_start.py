"""Devices that a job sees, by the number it takes and by who started it."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from dualdistill.launch import processes, start

Install = Callable[[int], list[str]]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Notes of the work; the environment is put back after the test."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for name in ("RANK", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    return []


def test_a_job_on_one_gpu_sees_no_other(install: Install, seen: list[object]) -> None:
    uuids = install(2)
    start.on_devices(1, lambda: seen.append(os.environ["CUDA_VISIBLE_DEVICES"]))
    assert seen == uuids[:1]


def test_the_processes_of_a_job_on_several_see_all_of_its_gpus(
    install: Install, seen: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    uuids = install(3)

    def run(command: list[str], count: int, locks: tuple[int, ...]) -> None:
        seen.extend([command[1:], count, len(locks), os.environ["CUDA_VISIBLE_DEVICES"]])

    monkeypatch.setattr(processes, "run", run)
    start.on_devices(2, lambda: seen.append("work in the launcher"), ["train", "a-run"])
    assert seen == [["-m", "dualdistill", "train", "a-run"], 2, 2, ",".join(uuids[:2])]


def test_a_job_without_a_device_of_its_own_sees_all(install: Install, seen: list[object]) -> None:
    install(2)
    start.on_devices(0, lambda: seen.append("CUDA_VISIBLE_DEVICES" in os.environ))
    assert seen == [False]


def test_a_process_of_torchrun_starts_and_locks_nothing(
    install: Install, seen: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(2)
    monkeypatch.setenv("RANK", "1")
    start.on_devices(8, lambda: seen.append("CUDA_VISIBLE_DEVICES" in os.environ))
    assert seen == [False]
