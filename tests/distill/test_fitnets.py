"""FitNets' hint against hand-computed numbers, and the share of the training that has it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from distill import toy

from dualdistill.config import method_options
from dualdistill.distill.fitnets import FitNets
from dualdistill.distill.inputs import FeaturePair
from dualdistill.errors import UserError


def by_hand() -> tuple[FitNets, FeaturePair]:
    """Two student channels, one teacher channel, two cells, and the regressor 2 a - b + 1."""
    method = FitNets(hint_weight=4.0)
    method.bind({"head": (2, 1, 2)}, {"neck": (1, 1, 2)})
    with torch.no_grad():
        method.regressor.weight.copy_(torch.tensor([2.0, -1.0]).view(1, 2, 1, 1))
        method.regressor.bias.fill_(1.0)
    student = {
        "head": torch.tensor([[[[1.0, 0.0]], [[3.0, 2.0]]]])
    }  # adapted: 2 - 3 + 1 = 0 and 0 - 2 + 1 = -1
    teacher = {"neck": torch.tensor([[[[3.0, 0.0]]]])}
    return method, replace(toy.make_pair((0,), ()), student_BCHW=student, teacher_BCHW=teacher)


def test_the_hint_is_the_mean_of_squared_differences():
    method, pair = by_hand()
    assert method(pair)["hint"].item() == pytest.approx(4 * (3**2 + 1**2) / 2)


@pytest.mark.parametrize(("progress", "on"), [(0.0, True), (0.49, True), (0.5, False), (0.99, False)])
def test_the_hint_ends_after_its_share_of_the_training(progress: float, on: bool):
    method, pair = by_hand()
    method.hint_until = 0.5
    assert (method(replace(pair, progress=progress))["hint"] > 0) == on


def test_only_the_regressor_is_trained_with_the_student():
    method, pair = toy.bound(FitNets()), toy.make_pair()
    method(pair)["hint"].backward()
    assert {name: tuple(weight.shape) for name, weight in method.named_parameters()} == {
        "regressor.weight": (12, 8, 1, 1),
        "regressor.bias": (12,),
    }
    assert [tap for tap, feature in pair.student_BCHW.items() if feature.grad is not None] == ["head"]


def test_defaults_are_those_of_the_common_benchmark():
    assert method_options.fill("fitnets", {}) == {"hint_weight": 100.0, "hint_until": 1.0}


def test_maps_of_other_sizes_are_refused():
    with pytest.raises(UserError, match="the head level has"):
        FitNets().bind({"head": (2, 4, 4)}, {"neck": (2, 8, 8)})
