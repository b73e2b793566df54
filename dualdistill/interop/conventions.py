"""Rewrites of released weights whose numbers mean something else there. All are exact.

Axes: O outputs of a layer, C pillar channels, I input columns of the pillar network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

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
