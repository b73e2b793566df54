"""BatchNorm over two ranks: the numbers of one process that holds the values of both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import ranks
import torch
from batches import SLIM_GRID, SLIM_STUDENT
from torch import Tensor, nn

from dualdistill.config.run_spec import ScheduleSpec
from dualdistill.distributed import normaliser
from dualdistill.models.bevdepth.student import BEVDepth
from dualdistill.training.batchnorm import CPUSyncBatchNorm, synchronise
from dualdistill.training.devices import launch

CHANNELS = 3
# values of both ranks, which differ in number; the last leaves nothing to the second
SPLITS = {"pillars": ((7, 2), ()), "maps": ((1, 2), (4, 5)), "boxes": ((4, 0), (6,))}


def values(name: str) -> list[Tensor]:
    """Input of each rank; a channel of large and equal values is the hardest."""
    counts, axes = SPLITS[name]
    draw = torch.Generator().manual_seed(0)
    parts = [torch.randn(count, CHANNELS, *axes, generator=draw) * 3 + 1 for count in counts]
    for part in parts:
        part[:, 2] = 1266.0
    return parts


def run(layer: nn.Module, value: Tensor) -> dict[str, Tensor]:
    """One training step of a layer: output, gradients and statistics."""
    value = value.clone().requires_grad_()
    output = layer(value)
    weight = torch.arange(math.prod(output.shape[1:])).view(output.shape[1:]).cos()
    (output * weight).sum().backward()
    gradients = {name: parameter.grad for name, parameter in layer.named_parameters()}
    return {"output": output, "input": value.grad, **gradients, **dict(layer.named_buffers())}


def norm() -> nn.BatchNorm1d:
    layer = nn.BatchNorm1d(CHANNELS, momentum=0.3)
    nn.init.uniform_(layer.weight, generator=torch.Generator().manual_seed(1))
    layer.__class__ = CPUSyncBatchNorm  # of any number of axes, and of one process where there is one
    return layer


def share(names: Sequence[str], folder: Path) -> None:
    """Run a rank's part of every input, and leave the results."""
    rank = launch(ScheduleSpec(batch=2, batch_per_device=1, sync_batchnorm=True)).global_rank
    results = {name: run(norm(), values(name)[rank]) for name in names}
    counts = [normaliser(5.0 * rank).item(), normaliser(0).item(), normaliser(torch.tensor([1, 0])).tolist()]
    torch.save((results, counts), folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def shares(tmp_path_factory: pytest.TempPathFactory) -> list:
    folder = tmp_path_factory.mktemp("shares")
    assert ranks.call(share, list(SPLITS), folder, ranks=2) == [0, 0]
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


@pytest.mark.parametrize("name", SPLITS)
def test_two_ranks_normalise_as_one_process(name: str, shares: list) -> None:
    whole = run(norm(), torch.cat(values(name)))
    first, second = (results[name] for results, _ in shares)
    for key in ("output", "input"):
        torch.testing.assert_close(torch.cat([first[key], second[key]]), whole[key], rtol=1e-5, atol=1e-5)
    for key in ("weight", "bias"):  # DDP averages them
        torch.testing.assert_close(first[key] + second[key], whole[key], rtol=1e-5, atol=1e-5)
    for key in ("running_mean", "running_var", "num_batches_tracked"):
        torch.testing.assert_close(first[key], whole[key])
        assert torch.equal(first[key], second[key])


def test_a_normaliser_is_the_mean_count_and_covers_a_batch_without_boxes(shares: list) -> None:
    for _, counts in shares:
        assert counts == [2.5, 0.5, [1.0, 0.5]]
    assert normaliser(5).item() == 5
    assert normaliser(0).item() == 1


def test_layers_keep_their_names_weights_and_numbers() -> None:
    student = BEVDepth(SLIM_STUDENT, SLIM_GRID)
    before, weights = list(student.state_dict()), list(student.parameters())
    synchronise(student, torch.device("cpu"))
    assert list(student.state_dict()) == before
    assert all(new is old for new, old in zip(student.parameters(), weights, strict=True))
    norms = [layer for layer in student.modules() if "BatchNorm" in type(layer).__name__]
    assert {type(layer) for layer in norms} == {CPUSyncBatchNorm}
    value = torch.randn(6, CHANNELS, 4, 5)
    native = nn.BatchNorm2d(CHANNELS)
    synchronised = nn.Sequential(nn.BatchNorm2d(CHANNELS))
    synchronise(synchronised, torch.device("cpu"))
    assert torch.equal(native(value), synchronised(value))
    assert torch.equal(native.eval()(value), synchronised.eval()(value))
