"""Rewrites of released weights whose numbers mean something else there. All are exact.

Axes: O outputs of a layer, C pillar channels, I input columns of the pillar network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

Z = 2  # column of a point
PADDING = "pillars.padding_C"  # of models/centerpoint/pillars.py
MIDDLE_M = -1.0  # of pillars from -5 to 3 m
DIM = re.compile(r"\.dim\.\d+\.(weight|bias)$")  # the last convolution: those before it end in conv.weight
ROT = re.compile(r"\.rot\.\d+\.(weight|bias)$")


def counter_clockwise(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rewrite the heads of mmdet3d below 1.0.0rc: sizes (w, l, h) and yaw clockwise from -y.

    Here sizes are (l, w, h), and yaw turns counter-clockwise from +x: ours = -theirs - pi/2, so
    sin = -cos(theirs) and cos = -sin(theirs).
    """
    return {name: _rewritten(name, tensor) for name, tensor in weights.items()}


def _rewritten(name: str, tensor_O: Tensor) -> Tensor:
    if DIM.search(name):
        return tensor_O[[1, 0, 2]]
    return -tensor_O[[1, 0]] if ROT.search(name) else tensor_O


def fold_height(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the eleventh input of mmdet3d's pillars, a point's height above the middle of its pillar.

    All pillars have the same middle m, so w (z - m) is w z, added to the weight of z, and a constant -w m,
    which the norm behind the layer subtracts by a mean that is w m larger. A padded point has no such
    constant: its 0 is w m for the folded layer.
    """
    linear_CI, mean_C = weights["pillars.linear.weight"], weights["pillars.norm.running_mean"]
    height_C = linear_CI[:, -1]
    constant_C = height_C * MIDDLE_M
    folded_CI = linear_CI[:, :-1].clone()
    folded_CI[:, Z] += height_C
    return {
        **weights,
        "pillars.linear.weight": folded_CI,
        "pillars.norm.running_mean": mean_C + constant_C,
        PADDING: constant_C,
    }
