"""Boxes on an image's feature map, as two-stage detectors handle them: matching, sampling, proposals, crops.

A box is (left, top, right, bottom) in cells of the map; the cell of column x spans [x, x + 1).
Axes: C channels, H W rows and columns, S instances, A anchors, P boxes in general, K boxes of one map.
"""

from __future__ import annotations

import torch
from mmdet.models.task_modules import AnchorGenerator, MaxIoUAssigner
from mmdet.models.task_modules.coders.delta_xywh_bbox_coder import bbox2delta, delta2bbox
from mmengine.structures import InstanceData
from torch import Tensor

from dualdistill.models.nms import plain_nms

SCALES = (1, 2, 4, 8)  # sides of the anchors
RATIOS = (0.5, 1.0, 2.0)  # height over width
ANCHORS = len(SCALES) * len(RATIOS)  # per cell
BEST, NMS_IOU = 256, 0.7  # proposals before NMS, and its threshold


def anchors(size_HW: tuple[int, int], like: Tensor) -> Tensor:
    """All anchors of a map, [A, 4]: cell by cell, row by row."""
    generator = AnchorGenerator([1], RATIOS, SCALES, base_sizes=[1], center_offset=0.5)
    anchors_A4: Tensor = generator.grid_priors([size_HW], dtype=like.dtype, device=like.device)[0]
    return anchors_A4


def deltas(boxes_P4: Tensor, target_P4: Tensor, stds: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    """Offsets from boxes to targets: shift of the centre over the size, log of the ratio of the sizes."""
    deltas_P4: Tensor = bbox2delta(boxes_P4, target_P4, stds=stds)
    return deltas_P4


def matched(
    boxes_P4: Tensor, instances_S4: Tensor, *, positive: float, negative: float, best: bool
) -> Tensor:
    """1 + the instance that a box overlaps most; 0 for background, below `negative`; -1 in between.

    With `best`, the boxes with the largest overlap match their instance even below `positive`.
    """
    least = negative if best else positive
    assigner = MaxIoUAssigner(positive, negative, min_pos_iou=least, match_low_quality=best)
    no_labels_S = instances_S4.new_zeros(len(instances_S4), dtype=torch.long)
    instances = InstanceData(bboxes=instances_S4, labels=no_labels_S)
    owner_P: Tensor = assigner.assign(InstanceData(priors=boxes_P4), instances).gt_inds
    return owner_P


def sampled(owner_P: Tensor, count: int, share: float) -> tuple[Tensor, Tensor]:
    """Indices of at most count x share positives, and of negatives up to `count`.

    They are spread evenly instead of drawn, so that the loss of a batch is deterministic.
    """
    positive_K = _spread((owner_P > 0).nonzero()[:, 0], int(count * share))
    return positive_K, _spread((owner_P == 0).nonzero()[:, 0], count - len(positive_K))


def _spread(indices: Tensor, count: int) -> Tensor:
    if len(indices) <= count:
        return indices
    return indices[torch.arange(count, device=indices.device) * len(indices) // count]


@torch.no_grad()
def proposals(
    score_A: Tensor, delta_A4: Tensor, anchors_A4: Tensor, size_HW: tuple[int, int], most: int
) -> Tensor:
    """The best boxes of the first stage after NMS, [P, 4]."""
    best_A = score_A.argsort(descending=True, stable=True)[:BEST]
    boxes_P4 = delta2bbox(anchors_A4[best_A], delta_A4[best_A], max_shape=size_HW)
    # boxes beyond the map were clipped to a line at its border
    wide_P = (boxes_P4[:, 2:] > boxes_P4[:, :2]).all(dim=1)
    boxes_P4, score_P = boxes_P4[wide_P], score_A[best_A][wide_P]
    return boxes_P4[plain_nms(boxes_P4.float(), score_P.float(), NMS_IOU)[:most]]


def crops(map_BCHW: Tensor, boxes_BK4: Tensor, side: int) -> Tensor:
    """RoIAlign, [B, K, C, side, side]: each cell of a crop is the mean of 2 x 2 bilinear samples.

    Bilinear sampling is separable, so a crop is two matrix products; the library's version would need its
    CUDA operations on a GPU.
    """
    left_BK, top_BK, right_BK, bottom_BK = boxes_BK4.unbind(dim=2)
    column_BKXW = sampling_weights(left_BK, right_BK, side, map_BCHW.shape[3])
    row_BKYH = sampling_weights(top_BK, bottom_BK, side, map_BCHW.shape[2])
    narrow_BKCHX = torch.einsum("bchw,bkxw->bkchx", map_BCHW, column_BKXW)
    return torch.einsum("bkyh,bkchx->bkcyx", row_BKYH, narrow_BKCHX)


def sampling_weights(first_BK: Tensor, last_BK: Tensor, side: int, size: int) -> Tensor:
    """Weight of each of `size` cells in each of `side` cells between two edges, [B, K, side, size].

    Samples beyond the centre of the outermost cell take that cell's value.
    """
    share_T = (torch.arange(2 * side, dtype=first_BK.dtype, device=first_BK.device) + 0.5) / (2 * side)
    place_BKT = first_BK[..., None] + share_T * (last_BK - first_BK)[..., None]
    place_BKT1 = (place_BKT - 0.5).clamp(0, size - 1)[..., None]
    cell_W = torch.arange(size, dtype=first_BK.dtype, device=first_BK.device)
    share_BKTW = (1 - (place_BKT1 - cell_W).abs()).clamp(min=0)
    return share_BKTW.unflatten(2, (side, 2)).mean(dim=3)
