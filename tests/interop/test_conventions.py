"""A head of mmdet3d 0.x, rewritten, gives the same boxes in our convention."""

from __future__ import annotations

import math

import torch

from dualdistill.interop.conventions import counter_clockwise

SIN, COS = 0, 1


def test_one_asymmetric_box_off_the_diagonal_keeps_its_place_and_turns_into_our_convention():
    """A layer whose bias is one box, 4.6 x 1.9 x 1.7 m, yaw 0.7 clockwise as 0.x has it."""
    theirs, yaw = "pts_bbox_head.task_heads.0.", 0.7
    weights = {
        f"{theirs}dim.1.bias": torch.tensor([1.9, 4.6, 1.7]).log(),  # w, l, h
        f"{theirs}dim.1.weight": torch.arange(3.0)[:, None, None, None].expand(3, 2, 3, 3),
        f"{theirs}rot.1.bias": torch.tensor([math.sin(yaw), math.cos(yaw)]),
        f"{theirs}rot.1.weight": torch.tensor([[1.0], [2.0]]),
        f"{theirs}rot.0.conv.weight": torch.tensor([[1.0], [2.0]]),
    }
    ours = counter_clockwise(weights)
    assert torch.allclose(ours[f"{theirs}dim.1.bias"].exp(), torch.tensor([4.6, 1.9, 1.7]))
    assert ours[f"{theirs}dim.1.weight"][:, 0, 0, 0].tolist() == [1, 0, 2]
    turned = ours[f"{theirs}rot.1.bias"]
    assert math.isclose(math.atan2(turned[SIN], turned[COS]), -yaw - math.pi / 2, abs_tol=1e-6)
    assert ours[f"{theirs}rot.1.weight"].tolist() == [[-2.0], [-1.0]]
    assert ours[f"{theirs}rot.0.conv.weight"].tolist() == [[1.0], [2.0]]  # only the last convolution
