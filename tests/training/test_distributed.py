"""Two processes take the steps of one that has the whole batch: every network, every method."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import ranks
import torch
from lightning_fabric import Fabric
from small_networks import METHODS, OTHERS, SMALL, input_of, networks_of

from dualdistill.config.run_spec import RunSpec
from dualdistill.data.batch import Batch, Crops
from dualdistill.plan import plan
from dualdistill.seeding import pin
from dualdistill.training.devices import launch
from dualdistill.training.train import set_up, train_step

STEPS, FEW = 10, 2
LONG = ("centerpoint", "dualdistill")  # take all steps, the others a few
NAMES = sorted({*OTHERS, *METHODS} - {"student", "mvp"})  # parts of others
Rows = dict[str, list[dict[str, float]]]


class Feed:
    """The same batch in every step, shared by the ranks; the first sample has most of the boxes."""

    steps_per_epoch = total = STEPS

    def __init__(self, batch: Batch | Crops) -> None:
        self.batch = batch

    def batches(self, step: int, fabric: Fabric) -> Iterator[Batch | Crops]:
        share = len(self.batch.tokens) // fabric.world_size
        part = samples(self.batch, slice(fabric.global_rank * share, (fabric.global_rank + 1) * share))
        return (part for _ in range(step, self.total))


def samples(batch: Batch | Crops, kept: slice) -> Any:
    values = {item.name: getattr(batch, item.name) for item in fields(batch)}
    return replace(batch, **{name: value[kept] for name, value in values.items() if value is not None})


def uneven(name: str) -> Batch | Crops:
    """A batch whose second sample has one box and fewer points."""
    batch = input_of(name, SMALL)
    if isinstance(batch, Crops):
        return replace(batch, tokens=tuple(map(str, range(32))))
    first, second = batch.boxes_K9
    owner_BNhw = batch.owner_BNhw.clone()
    owner_BNhw[1].clamp_(max=1)
    return replace(
        batch,
        boxes_K9=(first, second[:1]),
        labels_K=(batch.labels_K[0], batch.labels_K[1][:1]),
        points_PI=(batch.points_PI[0], batch.points_PI[1][::3]),
        owner_BNhw=owner_BNhw,
    )


def train(names: list[str], spec: RunSpec, out: Path) -> None:
    """Take steps with every network; the first process writes their lines of the history.

    In float64: the batch norms of random networks amplify rounding, in float32 beyond any tolerance.
    """
    pin(1)
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    rows: Rows = {}
    for name in names:
        fabric = launch(spec.schedule)
        networks = networks_of(name, SMALL)
        state, setup = set_up(spec, out.parent, fabric, Feed(uneven(name)), networks)
        batches = setup.feed.batches(0, fabric)
        count = STEPS if name in LONG else FEW
        rows[name] = [train_step(state, setup, batches) for _ in range(count)]
    if fabric.global_rank == 0:
        out.write_text(json.dumps(rows))


@pytest.fixture(scope="module")
def spec(checkout: Path) -> RunSpec:
    spec = plan.load(checkout / "config" / "config.yaml", {"profile": "smoke"}).run("bevdepth-r50").spec
    return replace(spec, schedule=replace(spec.schedule, batch=2, sync_batchnorm=True))


@pytest.fixture(scope="module")
def rows(spec: RunSpec, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Rows]:
    """Lines of the history by number of processes."""
    folder = tmp_path_factory.mktemp("distributed")
    lines = {}
    for count in (1, 2):
        out = folder / f"{count}.json"
        schedule = replace(spec.schedule, batch_per_device=2 // count)
        words = (NAMES, replace(spec, schedule=schedule), out)
        assert ranks.call(train, *words, ranks=count) == [0] * count
        lines[count] = json.loads(out.read_text())
    return lines


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_two_synchronised_processes_are_one_with_the_whole_batch(name: str, rows: dict[int, Rows]) -> None:
    for one, two in zip(rows[1][name], rows[2][name], strict=True):
        assert two == pytest.approx(one, rel=1e-4)
