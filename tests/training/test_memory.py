"""The estimate of a step's memory: right at sizes it did not measure, without an effect, and a refusal."""

from __future__ import annotations

import resource
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any, get_args

import forked
import pytest
import torch
from batches import SLIM_GRID, SLIM_STUDENT, SLIM_TEACHER, random_batch

from dualdistill.config import method_options
from dualdistill.config.run_spec import BEVDepthSpec, ScheduleSpec, Stage
from dualdistill.data.batch import Batch
from dualdistill.errors import UserError
from dualdistill.models import Teacher
from dualdistill.models.bevdepth.student import BEVDepth
from dualdistill.seeding import pin
from dualdistill.training import memory
from dualdistill.training.devices import launch
from dualdistill.training.memory import GIB, Estimate, check_fits, measure
from dualdistill.training.objective import Objective, Teachers

IMAGE = (64, 176)
STAGES = get_args(Stage)


class Feed:
    def __init__(self, schedule: ScheduleSpec, image: tuple[int, int] = IMAGE) -> None:
        self.schedule, self.image = schedule, image

    def first(self, count: int) -> Batch:
        batch = random_batch(count, grid=SLIM_GRID, image=self.image, per_box=20)
        return replace(batch, owner_BNhw=torch.zeros_like(batch.depth_BNhw, dtype=torch.long))


def objective(spec: BEVDepthSpec = SLIM_STUDENT) -> tuple[Objective, Teachers]:
    student, teacher = BEVDepth(spec, SLIM_GRID), Teacher(SLIM_TEACHER, SLIM_GRID)
    method = method_options.load("dualdistill")(**method_options.fill("dualdistill", {}))
    method.bind(student.tap_shapes(), teacher.tap_shapes())
    return Objective(student, method), Teachers(teacher)


@pytest.mark.parametrize("stages", [(), STAGES], ids=["all kept", "checkpointed"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_batch_keeps_what_was_extrapolated(stages: tuple[Stage, ...], precision: str) -> None:
    schedule = ScheduleSpec(batch=12, precision=precision)
    fabric, feed = launch(schedule), Feed(schedule)
    networks = objective(replace(SLIM_STUDENT, activation_checkpoint=stages))
    estimate = Estimate(fabric, *networks, feed)
    measured = measure(fabric, *networks, feed.first(12))
    expected = estimate.uses[0].at(12, estimate.uses[1])
    assert expected.kept == pytest.approx(measured.kept, rel=0.03)
    assert expected.largest == pytest.approx(measured.largest, rel=0.2)  # another one may be the largest


def test_checkpointed_stages_and_half_precision_need_less() -> None:
    def kept(precision: str, stages: tuple[Stage, ...]) -> float:
        schedule = ScheduleSpec(batch=2, precision=precision)
        networks = objective(replace(SLIM_STUDENT, activation_checkpoint=stages))
        return measure(launch(schedule), *networks, Feed(schedule).first(2)).kept

    whole = kept("32-true", ())
    assert kept("32-true", ("layer1", "layer2")) < 0.9 * whole
    assert kept("bf16-mixed", ()) < 0.9 * whole


def test_measuring_changes_neither_weights_nor_statistics_nor_random_numbers() -> None:
    schedule = ScheduleSpec(batch=2)
    networks = objective()
    before = {name: value.clone() for name, value in networks[0].state_dict().items()}
    drawn = torch.get_rng_state()
    Estimate(launch(schedule), *networks, Feed(schedule))
    assert all(torch.equal(value, before[name]) for name, value in networks[0].state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)


def test_a_step_that_does_not_fit_is_refused_with_the_keys_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = ScheduleSpec(batch=64)
    estimate = Estimate(launch(schedule), *objective(), Feed(schedule))
    check_fits(estimate, 64, ())
    monkeypatch.setattr(memory, "size_of", lambda device: estimate.peak(10))
    with pytest.raises(UserError) as caught:
        check_fits(estimate, 64, ("layer1",))
    need, total = estimate.peak(64) / GIB, estimate.peak(10) / GIB
    assert f"a step of 64 samples per device needs about {need:.1f} GiB" in str(caught.value)
    assert f"this cpu has {total:.1f} GiB" in str(caught.value)
    assert "lower schedule.batch_per_device to 10" in str(caught.value)
    assert "add stages to model.activation_checkpoint: ['layer1']" in str(caught.value)
    monkeypatch.setattr(memory, "size_of", lambda device: 1)
    with pytest.raises(UserError, match="not even one sample fits"):
        check_fits(estimate, 64, None)


def step(samples: int) -> tuple[float, float]:
    """Estimated and actual peak of two steps, in GiB; the averages of Adam exist in the second."""
    pin(1)
    schedule = ScheduleSpec(batch=samples)
    fabric, feed, networks = launch(schedule), Feed(schedule, (128, 352)), objective()
    estimate = Estimate(fabric, *networks, feed)
    optimizer = torch.optim.AdamW(networks[0].parameters(), fused=True)
    module: Any
    module, stepper = fabric.setup(networks[0], optimizer)
    batch = feed.first(samples)
    for _ in range(2):
        fabric.backward(torch.stack(list(module(batch, networks[1], 0.0).values())).sum())
        stepper.step()
        stepper.zero_grad()
    return estimate.peak(samples) / GIB, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


@pytest.mark.slow
def test_the_estimate_is_close_to_the_peak_of_a_process() -> None:
    with ProcessPoolExecutor(1, mp_context=forked.CONTEXT) as alone:
        expected, actual = alone.submit(step, 24).result()
    # the operations of a CPU need memory of their own: 23 % more than the estimate where this was written
    assert expected == pytest.approx(actual, rel=0.5)
