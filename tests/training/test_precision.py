"""Mixed precision through the suite's own Fabric and step: every network, every method, every precision."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch
from lightning_fabric import Fabric
from small_networks import LARGE, METHODS, OTHERS, SMALL, Size, input_of, networks_of
from torch import Tensor

from dualdistill.config.run_spec import RunSpec, ScheduleSpec
from dualdistill.data.batch import Batch
from dualdistill.errors import NumericsError, UserError
from dualdistill.models import LabelEncoder
from dualdistill.plan import plan
from dualdistill.seeding import pin
from dualdistill.store.progress import read as read_progress
from dualdistill.training.checkpoint import load_state
from dualdistill.training.history import History
from dualdistill.training.objective import LabelEncoderObjective, Networks, Teachers
from dualdistill.training.precision import DTYPES, SMALLEST_SCALE, check_in_effect
from dualdistill.training.progress import Clock
from dualdistill.training.train import Setup, State, launch, set_up, train_step

SCALE = 64.0  # at the usual 65536 the first steps of random networks overflow
PRECISIONS = get_args(get_type_hints(ScheduleSpec)["precision"])
OF_KEPT_BOXES = {"crd"}  # losses that a changed set of the teacher's boxes changes


class Feed:
    """The same batch, as often as it is asked for."""

    steps_per_epoch, total = 4, 4

    def __init__(self, batch: Any) -> None:
        self.batch = batch

    def batches(self, step: int, fabric: Fabric) -> Iterator[Any]:
        return (self.batch for _ in range(step, self.total))


@pytest.fixture(scope="module")
def smoke(checkout: Path) -> RunSpec:
    spec = plan.load(checkout / "config" / "config.yaml", {"profile": "smoke"}).run("bevdepth-r50").spec
    return replace(spec, schedule=replace(spec.schedule, batch=2, warmup_iters=0))


Training = tuple[State, Setup, Iterator[Any]]


def start(
    spec: RunSpec,
    precision: str,
    folder: Path,
    name: str,
    networks: Networks | None = None,
    size: Size = SMALL,
) -> Training:
    """A training before its first step, or at its checkpoint if it has one."""
    pin(1)
    spec = replace(spec, schedule=replace(spec.schedule, precision=precision))
    fabric, feed = launch(spec.schedule), Feed(input_of(name, size))
    state, setup = set_up(spec, folder, fabric, feed, networks or networks_of(name, size))
    if state.scaler:
        state.scaler.load_state_dict(state.scaler.state_dict() | {"scale": SCALE})
    if saved := load_state(folder, spec.sha):
        state.restore(saved)
    return state, setup, feed.batches(state.step, fabric)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", [*OTHERS, *METHODS])
def test_everything_takes_a_step_in_every_precision(
    name: str, precision: str, smoke: RunSpec, tmp_path: Path
) -> None:
    state, setup, batches = start(smoke, precision, tmp_path, name)
    before = {key: weight.detach().clone() for key, weight in state.objective.named_parameters()}
    row = train_step(state, setup, batches)
    assert all(math.isfinite(value) for value in row.values())
    assert not state.skipped
    after = dict(state.objective.named_parameters())
    assert all(weight.isfinite().all() for weight in after.values())
    moved = {key.partition(".")[0] for key in before if not torch.equal(after[key], before[key])}
    assert moved == {key.partition(".")[0] for key in before}


def kept_boxes(setup: Setup, batch: Any) -> list[list[int]]:
    """Classes of the boxes that the teacher's head keeps of each sample, best first."""
    with torch.no_grad(), setup.fabric.autocast():
        frames = setup.teachers(batch)
    return [sample.labels_K.tolist() for sample in frames.teacher_head.decode(frames.teacher_predictions)]


@pytest.mark.parametrize("name", [*OTHERS, *METHODS])
def test_every_loss_in_bfloat16_is_within_two_percent_of_float32(
    name: str, smoke: RunSpec, tmp_path: Path
) -> None:
    losses, kept = {}, {}
    for precision in ("32-true", "bf16-mixed"):
        _, setup, batches = start(smoke, precision, tmp_path, name, size=LARGE)
        batch = next(batches)
        with torch.no_grad():
            terms = setup.module.train()(batch, setup.teachers, 0.0)
        losses[precision] = {term: loss.item() for term, loss in terms.items()}
        kept[precision] = kept_boxes(setup, batch) if setup.teachers else []
    whole, half = losses["32-true"], losses["bf16-mixed"]
    far = {term for term, loss in whole.items() if abs(half[term] - loss) > 0.02 * abs(loss)}
    if kept["32-true"] != kept["bf16-mixed"]:  # a random teacher is sure of no box
        counts = {precision: [Counter(sample) for sample in boxes] for precision, boxes in kept.items()}
        warnings.warn(f"{name}: kept boxes of each class changed, {far} far apart: {counts}", stacklevel=1)
        far -= OF_KEPT_BOXES
    assert not far, (whole, half)


class Planted(LabelEncoderObjective):
    """An objective with another loss, which is zero and has a gradient that is not finite at one step."""

    def __init__(self, learner: LabelEncoder, at: int) -> None:
        super().__init__(learner)
        self.at, self.calls = at, 0

    def forward(self, batch: Batch, teachers: Teachers | None, progress: float) -> dict[str, Tensor]:
        self.calls += 1
        weight = next(self.learner.parameters())
        zero = (weight - weight.detach()).abs().sum()
        loss = zero.sqrt() if self.calls == self.at else zero
        return super().forward(batch, teachers, progress) | {"planted": loss}


def planted(at: int) -> Networks:
    networks = networks_of("labels", SMALL)
    assert isinstance(networks.objective.learner, LabelEncoder)
    return replace(networks, objective=Planted(networks.objective.learner, at))


def run(training: Training, steps: int) -> tuple[State, list[dict[str, float]]]:
    """Train some steps and leave a checkpoint; return the lines of the history."""
    state, setup, batches = training
    rows = [train_step(state, setup, batches) for _ in range(steps)]
    state.save(setup, 0.0, History(setup.folder))
    return state, rows


def weights_of(state: State) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in state.objective.named_parameters()}


def test_an_overflow_skips_the_step_is_counted_and_shown_and_training_goes_on(
    smoke: RunSpec, tmp_path: Path
) -> None:
    averaged = replace(smoke, schedule=replace(smoke.schedule, ema=0.5))
    training = start(averaged, "16-mixed", tmp_path, "labels", planted(at=2))
    state, first = run(training, 1)
    assert state.average is not None
    before = weights_of(state)
    average = {name: value.clone() for name, value in state.average.state_dict().items()}
    second = train_step(*training)
    assert all(torch.equal(value, before[name]) for name, value in weights_of(state).items())
    assert all(torch.equal(value, average[name]) for name, value in state.average.state_dict().items())
    _, rest = run(training, 2)
    rows = [*first, second, *rest]
    assert any(not torch.equal(value, before[name]) for name, value in weights_of(state).items())
    assert (state.step, state.skipped) == (4, 1)
    assert ["grad_norm" in row for row in rows] == [True, False, True, True]
    assert [row["loss_scale"] for row in rows] == [SCALE, SCALE, SCALE / 2, SCALE / 2]
    clock = Clock(0, 4, 0.0)
    assert "  1 skipped  " in clock.line(4, 1.0, second, state.skipped)
    clock.write_progress(tmp_path, 4, 1.0, second, state.skipped)
    progress = read_progress(tmp_path)
    assert progress is not None
    assert progress.skipped == 1


def test_a_resumed_run_has_the_same_scale_and_ends_in_the_same_weights(
    smoke: RunSpec, tmp_path: Path
) -> None:
    whole, rows = run(start(smoke, "16-mixed", tmp_path / "whole", "labels", planted(at=2)), 4)
    run(start(smoke, "16-mixed", tmp_path / "broken", "labels", planted(at=2)), 3)
    resumed, last = run(start(smoke, "16-mixed", tmp_path / "broken", "labels", planted(at=0)), 1)
    assert resumed.scaler is not None
    assert whole.scaler is not None
    assert resumed.scaler.state_dict() == whole.scaler.state_dict()
    assert (resumed.step, resumed.skipped, last) == (4, 1, rows[3:])
    after = weights_of(whole)
    assert all(torch.equal(value, after[name]) for name, value in weights_of(resumed).items())


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_without_loss_scaling_such_a_gradient_is_an_error(
    precision: str, smoke: RunSpec, tmp_path: Path
) -> None:
    with pytest.raises(NumericsError, match="gradient is not finite at step 0"):
        run(start(smoke, precision, tmp_path, "labels", planted(at=1)), 1)


def test_an_overflow_at_the_smallest_scale_is_an_error(smoke: RunSpec, tmp_path: Path) -> None:
    state, setup, batches = start(smoke, "16-mixed", tmp_path, "labels", planted(at=1))
    assert state.scaler is not None
    state.scaler.load_state_dict(state.scaler.state_dict() | {"scale": SMALLEST_SCALE / 2})
    with pytest.raises(NumericsError, match="gradient is not finite at step 0"):
        train_step(state, setup, batches)


@pytest.mark.filterwarnings("ignore:.*AMP with fp16")
def test_a_precision_that_is_replaced_is_refused() -> None:
    """Fabric itself turns 16-mixed into bf16-mixed on a CPU."""
    fabric = Fabric(accelerator="cpu", devices=1, precision="16-mixed")
    with pytest.raises(UserError, match="would train in bfloat16, the schedule says 16-mixed"):
        check_in_effect(fabric, "16-mixed")


def test_the_precision_in_effect_is_that_of_the_schedule() -> None:
    assert set(PRECISIONS) == set(DTYPES)
    for precision, dtype in DTYPES.items():
        fabric = launch(ScheduleSpec(batch=1, precision=precision))
        with fabric.autocast():
            assert (torch.ones(1, 1) @ torch.ones(1, 1)).dtype == dtype
