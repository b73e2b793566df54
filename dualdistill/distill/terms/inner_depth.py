"""TiG-BEV's inner-depth supervision: depth within an object, relative to its best-predicted cell.

Axes: B batch, N cameras, D depth bins, h w cells of the lifted map, M = B x N images, P = h x w cells,
K the largest number of boxes in a sample.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dualdistill.data.batch import ImageDepth
from dualdistill.distributed import normaliser


def inner_depth_loss(depth: ImageDepth) -> Tensor:
    """1/N sum over the N object cells of the batch of ((d' - d'_r) - (d - d_r))^2, d' expected, d measured.

    With the error e = d' - d this is (e - e_r)^2; the error e_r of the reference cell has no gradient.
    """
    expected_BNhw = expected_depth(depth.logits_BNDhw, depth.bins_D)
    error_MP = (expected_BNhw - depth.target_BNhw).flatten(0, 1).flatten(1)
    owner_MP = depth.owner_BNhw.flatten(0, 1).flatten(1)
    inside_MP = owner_MP > 0
    relative_MP = error_MP - reference_error(error_MP.detach(), owner_MP)
    return (relative_MP.square() * inside_MP).sum() / normaliser(inside_MP.sum())


def expected_depth(logits_BNDhw: Tensor, bins_D: Tensor) -> Tensor:
    """Mean depth of the bins under the softmax of the logits, in metres."""
    return torch.einsum("bndhw,d->bnhw", logits_BNDhw.softmax(dim=2), bins_D)


def reference_error(error_MP: Tensor, owner_MP: Tensor) -> Tensor:
    """Error of every cell's reference: the best-predicted cell of the same object in the same image."""
    box_K = torch.arange(1, int(owner_MP.max()) + 1, device=owner_MP.device)
    of_box_MKP = owner_MP[:, None] == box_K[:, None]
    distance_MKP = torch.where(of_box_MKP, error_MP.abs()[:, None], torch.inf)
    best_MK = error_MP.gather(1, distance_MKP.argmin(dim=2))
    return functional.pad(best_MK, (1, 0)).gather(1, owner_MP)  # owner 0: no box
