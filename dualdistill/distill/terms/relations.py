"""TiG-BEV's inner-feature relations: similarity between the keypoints, or the channels, of an object.

Relations are compared instead of features, so the two detectors may have different feature spaces.
Axes: B batch, C channels, H W BEV rows (y) and columns (x), K boxes of the whole batch, P keypoints,
R items that are related (keypoints or channels), F their features.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dualdistill.config.run_spec import GridSpec
from dualdistill.distributed import normaliser

TINY = 1e-24  # squared length below which a row counts as zero


def keypoint_features(
    feature_BCHW: Tensor, boxes_K9: tuple[Tensor, ...], grid: GridSpec, count: int, enlarge_m: float
) -> Tensor:
    """The map at count x count keypoints of every box of the batch, bilinear, zero beyond: [K, C, P]."""
    sampled = [
        functional.grid_sample(
            feature_CHW[None], keypoints(boxes, grid, count, enlarge_m)[None], align_corners=False
        )[0].transpose(0, 1)
        for feature_CHW, boxes in zip(feature_BCHW, boxes_K9, strict=True)
    ]
    return torch.cat(sampled)


def keypoints(boxes_K9: Tensor, grid: GridSpec, count: int, enlarge_m: float) -> Tensor:
    """Coordinates for grid_sample, [K, P, 2]: a grid over the box, enlarged on every side.

    As released: coordinates are divided by cells - 1 but sampled with corners not aligned, which moves a
    keypoint up to one cell outward; keypoints beyond the map are moved to its border.
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

    Rows of relations have unit length, so the distance of two rows follows from their cosine.
    """
    student_KR, teacher_KR, both_KR = overlaps(student_KRF, teacher_KRF)
    lengths_KR = (student_KR.clamp(min=TINY) * teacher_KR.clamp(min=TINY)).sqrt()
    # a zero row cannot be normalised: its squared distance from a row of unit length is 1
    distance_KR = (student_KR > TINY).float() + (teacher_KR > TINY).float() - 2 * both_KR / lengths_KR
    return distance_KR.sum() / normaliser(distance_KR.numel())


def overlaps(student_KRF: Tensor, teacher_KRF: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Inner products of relation matrices, row by row, [K, R]: student, teacher, and one with the other.

    A box of 576 keypoints has 331,776 relations, which are not computed if there are fewer features than
    keypoints: row r is f_r f^T, and the product of two such rows is f_r (f^T g) g_r.
    """
    if student_KRF.shape[1] <= max(student_KRF.shape[2], teacher_KRF.shape[2]):
        student_KRR, teacher_KRR = student_KRF @ student_KRF.mT, teacher_KRF @ teacher_KRF.mT
        pairs = [(student_KRR, student_KRR), (teacher_KRR, teacher_KRR), (student_KRR, teacher_KRR)]
    else:
        maps = [(student_KRF, student_KRF), (teacher_KRF, teacher_KRF), (student_KRF, teacher_KRF)]
        pairs = [(f_KRF @ (f_KRF.mT @ g_KRF), g_KRF) for f_KRF, g_KRF in maps]
    student_KR, teacher_KR, both_KR = ((first * second).sum(dim=2) for first, second in pairs)
    return student_KR, teacher_KR, both_KR
