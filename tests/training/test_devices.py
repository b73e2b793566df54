"""A batch in parts: over devices that share it and over time, with the same result."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ranks
import torch
from batches import SLIM_STUDENT, random_batch
from lightning_fabric import Fabric

from dualdistill.config.run_spec import GridSpec, RunSpec, ScheduleSpec
from dualdistill.data.batch import Batch
from dualdistill.errors import UserError
from dualdistill.models.bevdepth.student import BEVDepth
from dualdistill.plan import plan
from dualdistill.seeding import pin
from dualdistill.training.devices import launch
from dualdistill.training.objective import Networks, Objective
from dualdistill.training.train import set_up, train_step

GRID = GridSpec(half_extent_m=12.8, cell_m=1.6)
STEPS = 3


class Feed:
    """Batches of two samples, in parts of one."""

    steps_per_epoch = total = STEPS

    def __init__(self, schedule: ScheduleSpec) -> None:
        self.schedule = schedule

    def batches(self, step: int, fabric: Fabric) -> Iterator[Batch]:
        """This process's parts: the samples of a batch take turns over parts and processes."""
        for number in range(step, self.total):
            for part in range(self.schedule.parts(fabric.world_size)):
                sample = part * fabric.world_size + fabric.global_rank
                yield random_batch(1, grid=GRID, image=(32, 96), boxes=10, seed=2 * number + sample)


def train(spec: RunSpec, folder: Path, processes: int = 1) -> None:
    """Train, and save the weights of each process and its lines of the history."""
    pin(1)
    torch.manual_seed(0)
    networks = Networks(Objective(BEVDepth(SLIM_STUDENT, GRID)), None, {})
    fabric, feed = launch(spec.schedule), Feed(spec.schedule)
    assert fabric.world_size == processes
    state, setup = set_up(spec, folder, fabric, feed, networks)
    batches = feed.batches(0, fabric)
    rows = [train_step(state, setup, batches) for _ in range(STEPS)]
    torch.save((state.weights(), rows), folder / f"{processes}-{fabric.global_rank}.pt")


@pytest.fixture(scope="module")
def spec(checkout: Path) -> RunSpec:
    spec = plan.load(checkout / "config" / "config.yaml", {"profile": "smoke"}).run("bevdepth-r50").spec
    return replace(spec, schedule=replace(spec.schedule, batch=2, batch_per_device=1, warmup_iters=0))


@pytest.mark.slow
def test_two_processes_step_like_one_that_accumulates(spec: RunSpec, tmp_path: Path) -> None:
    """Where all parts have the same boxes of each class; otherwise two processes divide by the mean."""
    train(spec, tmp_path)
    assert ranks.call(train, spec, tmp_path, 2, ranks=2) == [0, 0]
    (_, one), (first, rows), (second, same) = (
        torch.load(tmp_path / f"{name}.pt") for name in ("1-0", "2-0", "2-1")
    )
    assert rows[0] == pytest.approx(one[0], rel=2e-4)
    assert rows == same
    assert all(torch.equal(first[name], second[name]) for name in first if not is_statistic(name))


def is_statistic(name: str) -> bool:
    return name.endswith(("running_mean", "running_var", "num_batches_tracked"))


@pytest.mark.parametrize(("devices", "parts"), [(1, 8), (2, 4), (4, 2), (8, 1)])
def test_what_the_devices_do_not_take_at_once_is_accumulated(devices: int, parts: int) -> None:
    assert ScheduleSpec(batch=32, batch_per_device=4).parts(devices) == parts


def test_a_batch_that_is_not_divided_is_taken_at_once() -> None:
    assert ScheduleSpec(batch=32).parts(1) == 1


def test_devices_that_do_not_fit_are_refused_with_those_that_do() -> None:
    with pytest.raises(UserError) as caught:
        ScheduleSpec(batch=32, batch_per_device=8).parts(3)
    assert "3 devices cannot share a batch of 32 with 8 per device" in str(caught.value)
    assert "devices that fit: 1 or 2 or 4;" in str(caught.value)


def test_synchronised_statistics_need_all_devices_at_once() -> None:
    schedule = ScheduleSpec(batch=32, batch_per_device=16, sync_batchnorm=True)
    with pytest.raises(UserError) as caught:
        launch(schedule)
    assert "with 16 per device that takes 2 devices, and there are 1" in str(caught.value)
    assert "devices that fit: 2;" in str(caught.value)
    assert schedule.parts(2) == 1


def test_the_shares_of_a_batch_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        launch(ScheduleSpec(batch=32, batch_per_device=4))
    assert "batch 32 = 1 (devices) x 4 (samples at once) x 8 (accumulated parts)" in caplog.text
