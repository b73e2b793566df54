"""TiG-BEV's inner-depth supervision: depth inside an object, relative to where the student is nearly right.

Axes: B batch, N cameras, D depth bins, h w cells of the lifted map, M = B x N images, P = h x w cells,
K boxes of the sample that has most.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dualdistill.data.batch import ImageDepth


def inner_depth_loss(depth: ImageDepth) -> Tensor:
    """1/N sum over the N object cells of the batch of ((d' - d'_r) - (d - d_r))^2, d' expected, d measured.

    With the error e = d' - d this is (e - e_r)^2; the reference's e_r is a constant to the gradient.
    """
    expected_BNhw = expected_depth(depth.logits_BNDhw, depth.bins_D)
    error_MP = (expected_BNhw - depth.target_BNhw).flatten(0, 1).flatten(1)
    owner_MP = depth.owner_BNhw.flatten(0, 1).flatten(1)
    inside_MP = owner_MP > 0
    apart_MP = error_MP - reference_error(error_MP.detach(), owner_MP)
    return (apart_MP.square() * inside_MP).sum() / inside_MP.sum().clamp(min=1)


def expected_depth(logits_BNDhw: Tensor, bins_D: Tensor) -> Tensor:
    """Mean of the bins' depths under the softmax of the logits, in metres."""
    return torch.einsum("bndhw,d->bnhw", logits_BNDhw.softmax(dim=2), bins_D)


def reference_error(error_MP: Tensor, owner_MP: Tensor) -> Tensor:
    """For every cell of an object, the error at that object's best predicted cell of the same image."""
    box_K = torch.arange(1, int(owner_MP.max()) + 1, device=owner_MP.device)
    of_box_MKP = owner_MP[:, None] == box_K[:, None]
    missed_MKP = torch.where(of_box_MKP, error_MP.abs()[:, None], torch.inf)
    best_MK = error_MP.gather(1, missed_MKP.argmin(dim=2))
    return functional.pad(best_MK, (1, 0)).gather(1, owner_MP)  # owner 0 is no box
