"""Activation checkpointing: the same losses, gradients and statistics, with fewer activations kept."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import get_args

import pytest
import torch
from batches import SLIM_GRID, SLIM_STUDENT, random_batch
from torch import Tensor

from dualdistill.config.run_spec import Stage
from dualdistill.models.bevdepth.student import BEVDepth

STAGES = get_args(Stage)
Result = tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor], int]


def step(stages: tuple[Stage, ...], precision: str = "float32") -> Result:
    """Losses, gradients, statistics, and the bytes kept for the backward pass of one training step."""
    torch.manual_seed(0)
    student = BEVDepth(replace(SLIM_STUDENT, activation_checkpoint=stages), SLIM_GRID)
    batch, kept = random_batch(), {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        losses = student.losses(student(batch), batch)
    torch.stack(list(losses.values())).sum().backward()
    gradients = {name: weight.grad for name, weight in student.named_parameters() if weight.grad is not None}
    return losses, gradients, dict(student.named_buffers()), sum(kept.values())


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def plain(request: pytest.FixtureRequest) -> tuple[str, Result]:
    return request.param, step((), request.param)


@pytest.mark.parametrize(
    "stages", [*((stage,) for stage in STAGES), STAGES], ids=lambda stages: "+".join(stages)
)
def test_a_checkpointed_stage_changes_nothing_but_memory(
    stages: tuple[Stage, ...], plain: tuple[str, Result]
) -> None:
    """Equal to the bit, batch norms' statistics and counters included: a batch counts once."""
    precision, whole = plain
    recomputed = step(stages, precision)
    for before, after in zip(whole[:3], recomputed[:3], strict=True):
        assert list(before) == list(after)
        assert all(torch.equal(after[name], value) for name, value in before.items())
    assert recomputed[3] < whole[3]


def test_a_copy_of_a_checkpointed_network_uses_its_own_weights() -> None:
    student = BEVDepth(replace(SLIM_STUDENT, activation_checkpoint=STAGES), SLIM_GRID)
    other, batch = copy.deepcopy(student), random_batch()
    for weight in student.parameters():
        weight.data.zero_()
    heat = [network(batch).predictions[0]["heatmap"].std() for network in (student, other)]
    assert heat[0] == 0 < heat[1]
