"""The channel-wise divergence against hand-computed numbers."""

from __future__ import annotations

import math

import pytest
import torch
from distill import toy

from dualdistill.config import method_options
from dualdistill.distill.channelwise import ChannelWise, channel_divergence
from dualdistill.errors import UserError


def test_one_channel_of_two_cells_by_hand():
    # at tau = 2 the teacher's shares are 3/4 and 1/4, the student's 1/2 and 1/2
    teacher = torch.tensor([2 * math.log(3.0), 0.0]).view(1, 1, 1, 2)
    student = torch.zeros(1, 1, 1, 2)
    expected = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert channel_divergence(student, teacher, 2.0).item() == pytest.approx(expected, rel=1e-6)


def test_the_mean_is_over_samples_and_channels():
    teacher = torch.zeros(2, 3, 1, 2)
    teacher[1, 2, 0, 0] = math.log(3.0)  # one of six channels differs from the student's
    expected = (0.75 * math.log(1.5) + 0.25 * math.log(0.5)) / 6
    assert channel_divergence(torch.zeros(2, 3, 1, 2), teacher, 1.0).item() == pytest.approx(
        expected, rel=1e-6
    )


def test_a_constant_of_a_channel_does_not_count():
    """Only the shape of a channel is imitated, never its level."""
    torch.manual_seed(0)
    teacher = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    offset = torch.tensor([1.0, -7.0, 30.0], dtype=torch.float64).view(3, 1, 1)
    assert channel_divergence(teacher + offset, teacher, 1.0).item() == pytest.approx(0, abs=1e-12)
    assert channel_divergence(2 * teacher, teacher, 1.0) > 0.01


def test_the_method_weights_the_divergence_of_the_adapted_map():
    method, pair = toy.bound(ChannelWise(channel_weight=3.0, tau=2.0)), toy.make_pair()
    adapted_BCHW = method.adapter(pair.student_BCHW["head"])
    expected = 3 * channel_divergence(adapted_BCHW, pair.teacher_BCHW["neck"], 2.0)
    losses = method(pair)
    assert losses.keys() == {"channelwise"}
    torch.testing.assert_close(losses["channelwise"], expected)
    losses["channelwise"].backward()
    assert [tap for tap, feature in pair.student_BCHW.items() if feature.grad is not None] == ["head"]


def test_defaults_are_the_released_values_for_feature_maps():
    assert method_options.fill("channelwise", {}) == {"channel_weight": 5.0, "tau": 1.0}


def test_maps_of_other_sizes_are_refused():
    with pytest.raises(UserError, match="the head level has"):
        ChannelWise().bind({"head": (2, 4, 4)}, {"neck": (2, 8, 8)})
