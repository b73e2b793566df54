"""Two processes take the steps of one that has the whole batch: every network, every method."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest
import ranks
import torch
from batches import SLIM_STUDENT
from lightning_fabric import Fabric
from small_networks import METHODS, OTHERS, SMALL, input_of, networks_of

from dualdistill.config.run_spec import RunSpec, ScheduleSpec, Stage
from dualdistill.data.batch import Batch, Crops
from dualdistill.distributed import means
from dualdistill.models.bevdepth.student import BEVDepth
from dualdistill.plan import plan
from dualdistill.seeding import pin
from dualdistill.training.devices import launch
from dualdistill.training.memory import Estimate
from dualdistill.training.objective import Networks, Objective
from dualdistill.training.train import set_up, train_step

STEPS, FEW = 10, 1
LONG = ("centerpoint", "dualdistill")  # take all steps, the others a few
CHECKPOINTED = "student, activations computed again"
# the student and mvp are parts of others
NAMES = [CHECKPOINTED, *sorted({*OTHERS, *METHODS} - {"student", "mvp"})]
Rows = dict[str, list[dict[str, float]]]


class Feed:
    """The same batch in every step, shared by the ranks; the first sample has most of the boxes."""

    steps_per_epoch = total = STEPS

    def __init__(self, batch: Batch | Crops, schedule: ScheduleSpec) -> None:
        self.batch, self.schedule = batch, schedule

    def first(self, count: int) -> Batch | Crops:
        return samples(self.batch, slice(count))

    def batches(self, step: int, fabric: Fabric) -> Iterator[Batch | Crops]:
        share = len(self.batch.tokens) // fabric.world_size
        part = samples(self.batch, slice(fabric.global_rank * share, (fabric.global_rank + 1) * share))
        return (part for _ in range(step, self.total))


def samples(batch: Batch | Crops, kept: slice) -> Any:
    values = {item.name: getattr(batch, item.name) for item in fields(batch)}
    return replace(batch, **{name: value[kept] for name, value in values.items() if value is not None})


def uneven(name: str, boxes: int) -> Batch | Crops:
    """A batch whose second sample has few boxes, or none, and fewer points."""
    batch = input_of(name, SMALL)
    if isinstance(batch, Crops):
        return replace(batch, tokens=tuple(map(str, range(32))))
    owner_BNhw = batch.owner_BNhw.clone()
    owner_BNhw[1].clamp_(max=boxes)
    return replace(
        batch,
        boxes_K9=(batch.boxes_K9[0], batch.boxes_K9[1][:boxes]),
        labels_K=(batch.labels_K[0], batch.labels_K[1][:boxes]),
        points_PI=(batch.points_PI[0], batch.points_PI[1][::3]),
        owner_BNhw=owner_BNhw,
    )


def networks(name: str) -> Networks:
    if name != CHECKPOINTED:
        return networks_of(name, SMALL)
    torch.manual_seed(0)
    student = replace(SLIM_STUDENT, activation_checkpoint=get_args(Stage))
    return Networks(Objective(BEVDepth(student, SMALL.grid)), None, {})


def in_float64() -> None:
    """The batch norms of random networks amplify rounding, in float32 beyond any tolerance."""
    pin(1)
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]


def train(names: list[str], spec: RunSpec, out: Path) -> None:
    """Take steps with every network; the first process writes their lines of the history."""
    in_float64()
    rows: Rows = {}
    for name in names:
        fabric, feed = launch(spec.schedule), Feed(uneven(name, boxes=1), spec.schedule)
        state, setup = set_up(spec, out.parent, fabric, feed, trained := networks(name))
        if name == CHECKPOINTED:
            Estimate(fabric, trained.objective, trained.teachers, feed)
        batches = feed.batches(0, fabric)
        count = STEPS if name in LONG else FEW
        rows[name] = [train_step(state, setup, batches) for _ in range(count)]
        rows[name][-1]["average"] = sum(weight.sum().item() for weight in state.weights().values())
    if fabric.global_rank == 0:
        out.write_text(json.dumps(rows))


def lose(names: list[str], spec: RunSpec, out: Path) -> None:
    """The losses of every network at fixed statistics, where the second rank has no boxes."""
    in_float64()
    fabric = launch(spec.schedule)
    rows: Rows = {}
    for name in names:
        fixed, feed = networks(name), Feed(uneven(name, boxes=0), spec.schedule)
        losses = fixed.objective.eval()(next(feed.batches(0, fabric)), fixed.teachers, 0.0)
        mean = means([loss.item() for loss in losses.values()])
        rows[name] = [dict(zip(losses, mean, strict=True))]
    if fabric.global_rank == 0:
        out.write_text(json.dumps(rows))


def in_one_and_in_two(
    function: Callable[..., None], schedule: ScheduleSpec, spec: RunSpec, folder: Path
) -> dict[int, Rows]:
    """The lines that a function writes, by number of processes."""
    rows = {}
    for count in (1, 2):
        out, shared = folder / f"{count}.json", replace(schedule, batch_per_device=2 // count)
        assert ranks.call(function, NAMES, replace(spec, schedule=shared), out, ranks=count) == [0] * count
        rows[count] = json.loads(out.read_text())
    return rows


@pytest.fixture(scope="module")
def spec(checkout: Path) -> RunSpec:
    spec = plan.load(checkout / "config" / "config.yaml", {"profile": "smoke"}).run("bevdepth-r50").spec
    return replace(spec, schedule=replace(spec.schedule, batch=2, ema=0.5))


@pytest.fixture(scope="module")
def rows(spec: RunSpec, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Rows]:
    schedule = replace(spec.schedule, sync_batchnorm=True)
    return in_one_and_in_two(train, schedule, spec, tmp_path_factory.mktemp("distributed"))


@pytest.fixture(scope="module")
def fixed(spec: RunSpec, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Rows]:
    return in_one_and_in_two(lose, spec.schedule, spec, tmp_path_factory.mktemp("fixed"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_two_synchronised_processes_are_one_with_the_whole_batch(name: str, rows: dict[int, Rows]) -> None:
    for one, two in zip(rows[1][name], rows[2][name], strict=True):
        assert two == pytest.approx(one, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_without_synchronised_statistics_the_losses_differ_in_nothing_else(
    name: str, fixed: dict[int, Rows]
) -> None:
    assert fixed[2][name] == [pytest.approx(fixed[1][name][0], rel=1e-5)]
