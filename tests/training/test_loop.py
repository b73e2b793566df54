"""The training loop: progress is passed to the method, and a resumed run ends like an uninterrupted one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from batches import SLIM_GRID, SLIM_STUDENT, SLIM_TEACHER, random_batch
from lightning_fabric import Fabric
from torch import Tensor

from dualdistill.config.run_spec import RunSpec
from dualdistill.data.batch import Batch
from dualdistill.distill.base import Distiller
from dualdistill.distill.inputs import FeaturePair
from dualdistill.models import Teacher
from dualdistill.models.bevdepth.student import BEVDepth
from dualdistill.plan import plan
from dualdistill.training.checkpoint import load_state
from dualdistill.training.history import History
from dualdistill.training.objective import Networks, Objective, Teachers
from dualdistill.training.progress import Clock
from dualdistill.training.train import State, set_up, train_steps


class Recorder(Distiller):
    """A method that records the progress of every step, and may ask the process to stop."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.progress: list[float] = []
        self.stop_at = stop_at

    def losses(self, pair: FeaturePair) -> dict[str, Tensor]:
        self.progress.append(pair.progress)
        if len(self.progress) == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return {"recorded": 0 * pair.student_BCHW["head"].sum()}


class FourSteps:
    """A feed of two epochs of two steps."""

    steps_per_epoch, total = 2, 4

    def batches(self, step: int, fabric: Fabric) -> Iterator[Batch]:
        batch = random_batch(1, grid=SLIM_GRID, image=(32, 96), boxes=3)
        owner_BNhw = torch.zeros_like(batch.depth_BNhw, dtype=torch.long)
        return (replace(batch, owner_BNhw=owner_BNhw) for _ in range(step, self.total))


@pytest.fixture(autouse=True)
def _own_signal_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def spec(checkout: Path) -> RunSpec:
    spec = plan.load(checkout / "config" / "config.yaml", {"profile": "smoke"}).run("bevdepth-r50").spec
    return replace(spec, schedule=replace(spec.schedule, batch=1))


def train(spec: RunSpec, folder: Path, method: Recorder) -> State:
    """Train until the end or a stop, from the checkpoint in the folder if there is one."""
    torch.manual_seed(0)
    objective = Objective(BEVDepth(SLIM_STUDENT, SLIM_GRID), method)
    networks = Networks(objective, Teachers(Teacher(SLIM_TEACHER, SLIM_GRID)), {})
    fabric = Fabric(accelerator="cpu", devices=1)
    state, setup = set_up(spec, folder, fabric, FourSteps(), networks)
    if saved := load_state(folder, spec.sha):
        state.restore(saved)
    clock, history = Clock(state.step, setup.feed.total, 0.0), History(folder, saved and saved["history"])
    with suppress(SystemExit):  # if the method asked for a stop
        train_steps(state, setup, clock, history, log_every=1)
    return state


def test_progress_grows_from_zero_to_the_last_step(spec: RunSpec, tmp_path: Path) -> None:
    method = Recorder()
    train(spec, tmp_path, method)
    assert method.progress == [0, 1 / 4, 2 / 4, 3 / 4]


def test_progress_goes_on_after_a_resume(spec: RunSpec, tmp_path: Path) -> None:
    before, after = Recorder(stop_at=3), Recorder()
    train(spec, tmp_path, before)
    train(spec, tmp_path, after)
    assert before.progress == [0, 1 / 4, 2 / 4]
    assert after.progress == [3 / 4]


def test_a_resumed_run_ends_in_the_same_averaged_weights(spec: RunSpec, tmp_path: Path) -> None:
    averaged = replace(spec, schedule=replace(spec.schedule, ema=0.5))
    whole = train(averaged, tmp_path / "whole", Recorder())
    train(averaged, tmp_path / "broken", Recorder(stop_at=2))
    resumed = train(averaged, tmp_path / "broken", Recorder())
    assert resumed.step == whole.step == 4
    learner = whole.objective.learner.state_dict()
    for name, value in whole.weights().items():
        assert torch.equal(resumed.weights()[name], value), name
    name = "image_encoder.backbone.bn1.running_mean"
    assert not torch.equal(whole.weights()[name], learner[name])
