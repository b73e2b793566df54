"""TiG-BEV's inner-feature relations: how an object's keypoints, or its channels, resemble one another.

Relations are compared instead of features, so the two detectors need not share a feature space.
Axes: B batch, C channels, H W BEV rows (y) and columns (x), K boxes of the whole batch, P keypoints,
R things that are related: keypoints or channels, F what each is described by.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dualdistill.config.run_spec import GridSpec

TINY = 1e-24  # the square of a row's length below which it counts as zero


def keypoint_features(
    feature_BCHW: Tensor, boxes_K9: tuple[Tensor, ...], grid: GridSpec, count: int, enlarge_m: float
) -> Tensor:
    """The map at count x count keypoints of every box of the batch, bilinear, zero beyond: [K, C, P]."""
    sampled = [
        functional.grid_sample(
            own_CHW[None], keypoints(boxes, grid, count, enlarge_m)[None], align_corners=False
        )[0].transpose(0, 1)
        for own_CHW, boxes in zip(feature_BCHW, boxes_K9, strict=True)
    ]
    return torch.cat(sampled)


def keypoints(boxes_K9: Tensor, grid: GridSpec, count: int, enlarge_m: float) -> Tensor:
    """Where grid_sample looks, [K, P, 2]: from corner to corner of the box made wider on every side.

    As released: cell edges are divided by cells - 1 and then read as if corners were not aligned, which puts
    a keypoint up to one cell too far out; beyond the map it is moved to its border.
    """
    step = torch.linspace(-0.5, 0.5, count, dtype=boxes_K9.dtype, device=boxes_K9.device)
    u_P, v_P = (share.flatten() for share in torch.meshgrid(step, step, indexing="ij"))
    x_K1, y_K1, length_K1, width_K1, yaw_K1 = (boxes_K9[:, column, None] for column in (0, 1, 3, 4, 6))
    along_KP, across_KP = (length_K1 + 2 * enlarge_m) * u_P, (width_K1 + 2 * enlarge_m) * v_P
    x_KP = x_K1 + along_KP * yaw_K1.cos() - across_KP * yaw_K1.sin()
    y_KP = y_K1 + along_KP * yaw_K1.sin() + across_KP * yaw_K1.cos()
    cell_KP2 = (torch.stack([x_KP, y_KP], dim=2) + grid.half_extent_m) / grid.cell_m
    return (2 * cell_KP2 / (grid.cells - 1) - 1).clamp(-1, 1)


def relation_loss(student_KRF: Tensor, teacher_KRF: Tensor) -> Tensor:
    """Mean over boxes and rows of the squared distance between the relations f f^T; zero without boxes.

    A row of relations has unit length, so the distance of two is told by their cosine.
    """
    student_KR, teacher_KR = overlap(student_KRF, student_KRF), overlap(teacher_KRF, teacher_KRF)
    lengths_KR = (student_KR.clamp(min=TINY) * teacher_KR.clamp(min=TINY)).sqrt()
    cosine_KR = overlap(student_KRF, teacher_KRF) / lengths_KR
    # a row that is zero has no length: its distance from one of unit length is one
    distance_KR = (student_KR > TINY).float() + (teacher_KR > TINY).float() - 2 * cosine_KR
    return distance_KR.sum() / max(1, distance_KR.numel())


def overlap(one_KRF: Tensor, other_KRG: Tensor) -> Tensor:
    """The inner product of the relations of two descriptions, row by row, [K, R].

    576 keypoints have 331,776 relations in every box. Where the descriptions are shorter they are never
    written out: the row of r is f_r f^T, and f_r (f^T g) g_r is the product of two such rows.
    """
    if one_KRF.shape[1] <= max(one_KRF.shape[2], other_KRG.shape[2]):
        return ((one_KRF @ one_KRF.mT) * (other_KRG @ other_KRG.mT)).sum(dim=2)
    return ((one_KRF @ (one_KRF.mT @ other_KRG)) * other_KRG).sum(dim=2)
