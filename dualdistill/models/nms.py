"""Non-maximum suppression in plain torch, on the device of the boxes: rotated boxes, centres, upright boxes.

It keeps what mmcv 2.1.0's compiled `nms_rotated` and `nms` and mmdet3d's `circle_nms` keep on the CPU, in the
same order. For rotated boxes the same mathematics is not enough: where boxes touch or share a corner,
rounding loses points of their intersection, so the IoU depends on the order of the arithmetic. Every float32
operation here is therefore the one of mmcv/ops/csrc/common/box_iou_rotated_utils.hpp, in its order, for many
pairs of boxes at once.

On one CPU thread, 150 boxes of 30 objects take 3 ms and 500 of 100 objects 12 ms; mmcv takes 6 and 68 ms. If
all boxes are piled up in one place, they take 7 and 21 ms; mmcv takes 1.5 and 3 ms.

Equal scores come in the order that torch.sort gives them, as in mmcv. That sort is not stable: devices and
kinds of CPU can break ties differently.

Axes: K boxes, P pairs of boxes, N points in which two boxes meet; a leading 2 holds x and y.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

PAIRS_AT_ONCE = 1024  # larger steps compare boxes that an earlier step would have suppressed
REACH = 1.01  # circles around two boxes count as overlapping a little before they do

# mmcv compares float32 with these as float64: its "< 1e-6" is "<= the float32 just below 1e-6" here
PARALLEL, IN_LINE, SAME_POINT, NO_AREA = 1e-14, 1e-6, 1e-8, 1e-14


def rotated_nms(sets: Sequence[tuple[Tensor, Tensor, float]]) -> list[Tensor]:
    """Indices of the kept boxes of each set (boxes_K5, scores_K, iou), best first.

    A box (centre x, centre y, width, height, angle in radians) is kept if no better kept box has an IoU of
    `iou` or more with it; `iou` is above 0.
    """
    # boxes remain on their device: only the indices of overlapping pairs reach the CPU, and many sets in one
    # call take little longer than one
    if not sets:
        return []
    orders = [scores_K.sort(0, descending=True).indices for _, scores_K, _ in sets]
    ranked = [boxes_K5[order_K] for (boxes_K5, _, _), order_K in zip(sets, orders, strict=True)]
    ious = [scores_K.new_full(scores_K.shape, iou) for _, scores_K, iou in sets]
    sizes = [len(order_K) for order_K in orders]
    starts = itertools.accumulate(sizes[:-1], initial=0)
    pairs_2P = torch.cat(
        [_near_pairs(boxes_K5) + start for boxes_K5, start in zip(ranked, starts, strict=True)], dim=1
    )
    kept_K = _greedy(torch.cat(ranked), pairs_2P, torch.cat(ious))
    return [order_K[keep] for order_K, keep in zip(orders, kept_K.split(sizes), strict=True)]


def _greedy(boxes_K5: Tensor, pairs_2P: Tensor, iou_K: Tensor) -> Tensor:
    """Whether each box is kept, [K]. Pairs hold the better box first and are sorted by it."""
    suppressed = [False] * len(boxes_K5)
    while pairs_2P.shape[1]:
        now_2P, pairs_2P = pairs_2P[:, :PAIRS_AT_ONCE], pairs_2P[:, PAIRS_AT_ONCE:]
        over_P = rotated_iou(boxes_K5[now_2P[0]], boxes_K5[now_2P[1]]) >= iou_K[now_2P[0]]
        _suppress(suppressed, now_2P[:, over_P])
        if pairs_2P.shape[1]:
            suppressed_K = torch.tensor(suppressed, device=boxes_K5.device)
            pairs_2P = pairs_2P[:, ~suppressed_K[pairs_2P].any(dim=0)]
    return ~torch.tensor(suppressed, dtype=torch.bool, device=boxes_K5.device)


def circle_nms(centres_K2: Tensor, scores_K: Tensor, radius: float) -> Tensor:
    """Indices of the kept centres, best first: those without a better kept one within the radius."""
    order_K = scores_K.sort(0, descending=True).indices
    apart_KK2 = centres_K2[order_K, None] - centres_K2[order_K]
    return order_K[_kept(apart_KK2.square().sum(dim=2) <= radius**2)]


def plain_nms(boxes_K4: Tensor, scores_K: Tensor, iou: float) -> Tensor:
    """Indices of the kept boxes, best first: those without a better kept box of an IoU above `iou`.

    Boxes are (left, top, right, bottom).
    """
    order_K = scores_K.sort(0, descending=True).indices
    first_K2, last_K2 = boxes_K4[order_K].split(2, dim=1)
    area_K = (last_K2 - first_K2).prod(dim=1)
    sides_KK2 = torch.minimum(last_K2[:, None], last_K2) - torch.maximum(first_K2[:, None], first_K2)
    shared_KK = sides_KK2.clamp(min=0).prod(dim=2)
    over_KK = shared_KK / (area_K[:, None] + area_K - shared_KK) > iou
    return order_K[_kept(over_KK)]


def _kept(over_KK: Tensor) -> Tensor:
    """Whether each box is kept, [K], given which overlap; the best comes first."""
    suppressed = [False] * len(over_KK)
    _suppress(suppressed, over_KK.triu(1).nonzero().T)
    return ~torch.tensor(suppressed, dtype=torch.bool, device=over_KK.device)


def _suppress(suppressed: list[bool], overlapping_2P: Tensor) -> None:
    """Mark the second box of each pair whose first is not suppressed."""
    for better, worse in overlapping_2P.T.tolist():
        suppressed[worse] |= not suppressed[better]


def _near_pairs(boxes_K5: Tensor) -> Tensor:
    """Indices (i, j), i < j, of boxes whose circumscribed circles overlap, in ascending order, [2, P]."""
    reach_K = boxes_K5[:, 2:4].norm(dim=1) * (REACH / 2)
    apart_KK2 = boxes_K5[:, None, :2] - boxes_K5[:, :2]
    near_KK = apart_KK2.square().sum(dim=2) <= (reach_K[:, None] + reach_K).square()
    return near_KK.triu(1).nonzero().T


def rotated_iou(first_P5: Tensor, second_P5: Tensor) -> Tensor:
    """IoU of each pair, [P], as mmcv computes it on the CPU; it can depend on the order of the two."""
    area_P, other_P = first_P5[:, 2:4].prod(dim=1), second_P5[:, 2:4].prod(dim=1)
    points_2PN, found_PN = _common_points(first_P5, second_P5)
    count_P = found_PN.sum(dim=1)
    some_P = ((count_P > 2) & (area_P > NO_AREA) & (other_P > NO_AREA)).nonzero()[:, 0]
    shared_P = torch.zeros_like(area_P)
    if len(some_P):
        count_P = count_P[some_P]
        # move the points that were found to the front, in their order
        places_PN = (~found_PN[some_P]).byte().argsort(dim=1, stable=True)[:, : int(count_P.max())]
        points_2PN = _take(points_2PN[:, some_P], places_PN)
        shared_P[some_P] = _hull_area(points_2PN, count_P)
    return shared_P / (area_P + other_P - shared_P)


def _cross(a_2: Tensor, b_2: Tensor) -> Tensor:
    return a_2[0] * b_2[1] - b_2[0] * a_2[1]


def _dot(a_2: Tensor, b_2: Tensor) -> Tensor:
    return a_2[0] * b_2[0] + a_2[1] * b_2[1]


def _take(points_2PN: Tensor, places_PN: Tensor) -> Tensor:
    return points_2PN.gather(2, places_PN.expand(2, -1, -1))


def _corners(boxes_P5: Tensor, centres_2P: Tensor) -> Tensor:
    """Corners of boxes moved to other centres, [2, P, 4]."""
    angle_P = boxes_P5[:, 4].double()
    cos_P, sin_P = (part.to(boxes_P5.dtype) * 0.5 for part in (angle_P.cos(), angle_P.sin()))
    width_P, height_P = boxes_P5[:, 2], boxes_P5[:, 3]
    along_2P = torch.stack([sin_P * height_P, -cos_P * height_P])
    across_2P = torch.stack([cos_P * width_P, sin_P * width_P])
    left_2P, right_2P = centres_2P - along_2P - across_2P, centres_2P + along_2P - across_2P
    twice_2P = 2 * centres_2P
    return torch.stack([left_2P, right_2P, twice_2P - left_2P, twice_2P - right_2P], dim=2)


def _common_points(first_P5: Tensor, second_P5: Tensor) -> tuple[Tensor, Tensor]:
    """Candidates for corners of the intersection, [2, P, 24], and whether each is one, [P, 24].

    16 crossings of edges, the corners of the first box, those of the second.
    """
    middle_P2 = (first_P5[:, :2] + second_P5[:, :2]) / 2
    a_2P4 = _corners(first_P5, (first_P5[:, :2] - middle_P2).T)
    b_2P4 = _corners(second_P5, (second_P5[:, :2] - middle_P2).T)
    edges_a_2P4, edges_b_2P4 = a_2P4.roll(-1, 2) - a_2P4, b_2P4.roll(-1, 2) - b_2P4
    edge_a_2P41, edge_b_2P14 = edges_a_2P4[..., None], edges_b_2P4[..., None, :]
    apart_2P44 = b_2P4[..., None, :] - a_2P4[..., None]
    turn_P44 = _cross(edge_b_2P14, edge_a_2P41)
    at_a_P44 = _cross(edge_b_2P14, apart_2P44) / turn_P44
    at_b_P44 = _cross(edge_a_2P41, apart_2P44) / turn_P44
    cross_P44 = (at_a_P44 >= 0) & (at_a_P44 <= 1) & (at_b_P44 >= 0) & (at_b_P44 <= 1)
    cross_P44 &= turn_P44.abs() > PARALLEL
    crossings_2P44 = a_2P4[..., None] + edge_a_2P41 * at_a_P44
    inside_b_P4, inside_a_P4 = _within(a_2P4, b_2P4, edges_b_2P4), _within(b_2P4, a_2P4, edges_a_2P4)
    return (
        torch.cat([crossings_2P44.flatten(2), a_2P4, b_2P4], dim=2),
        torch.cat([cross_P44.flatten(1), inside_b_P4, inside_a_P4], dim=1),
    )


def _within(points_2P4: Tensor, corners_2P4: Tensor, edges_2P4: Tensor) -> Tensor:
    """Whether each point's projections on two edges of a box lie within them, [P, 4]."""
    apart_2P4 = points_2P4 - corners_2P4[..., :1]
    first_2P1, last_2P1 = edges_2P4[..., :1], edges_2P4[..., 3:]
    along_P4, back_P4 = _dot(apart_2P4, first_2P1), -_dot(apart_2P4, last_2P1)
    within_P4 = (along_P4 >= 0) & (along_P4 <= _dot(first_2P1, first_2P1))
    return within_P4 & (back_P4 >= 0) & (back_P4 <= _dot(last_2P1, last_2P1))


def _hull_area(points_2PN: Tensor, count_P: Tensor) -> Tensor:
    """Area of the convex hull of each pair's first `count` points, [P], by Graham's scan.

    The scan is skipped where the order of the points around the lowest one is unambiguous and the outline
    bends the same way at each of them.
    """
    valid_PN = _slots(points_2PN) < count_P[:, None]
    points_2PN = _from_lowest(points_2PN, valid_PN)
    before_PNN = _before(points_2PN) & valid_PN[:, :, None] & valid_PN[:, None]
    # if their order is unambiguous, 1, 2, 3 ... points come before them, the lowest included
    rank_PN, order_PN = before_PNN.sum(dim=1).where(valid_PN, points_2PN.shape[2])[:, 1:].sort(dim=1)
    hull_2PN = _take(points_2PN, functional.pad(order_PN + 1, (1, 0)))
    last_2PN, middle_2PN = hull_2PN[..., 2:] - hull_2PN[..., :-2], hull_2PN[..., 1:-1] - hull_2PN[..., :-2]
    clear_PN = (rank_PN == _slots(rank_PN) + 1) | ~valid_PN[:, 1:]
    clear_PN[:, 1:] &= (_cross(last_2PN, middle_2PN) < 0) | ~valid_PN[:, 2:]
    clear_PN[:, 0] &= _dot(hull_2PN[..., 1], hull_2PN[..., 1]) > SAME_POINT
    odd_P = (~clear_PN.all(dim=1)).nonzero()[:, 0]
    if len(odd_P):
        order_PN = _insertion_order(before_PNN[odd_P])
        hull_2PN[:, odd_P], count_P[odd_P] = _scan(_take(points_2PN[:, odd_P], order_PN), valid_PN[odd_P])
    return _fan_area(hull_2PN, count_P)


def _slots(points_N: Tensor) -> Tensor:
    """Indices along the last axis."""
    return torch.arange(points_N.shape[-1], device=points_N.device)


def _fan_area(hull_2PN: Tensor, corners_P: Tensor) -> Tensor:
    """Area of polygons whose first corner is the origin, [P]."""
    twice_PN = _cross(hull_2PN[..., 1:-1], hull_2PN[..., 2:]).abs()
    twice_PN = twice_PN.where(_slots(twice_PN) + 2 < corners_P[:, None], 0)
    area_P = twice_PN[:, 0]
    for place in range(1, twice_PN.shape[1]):  # torch.sum guarantees no order
        area_P = area_P + twice_PN[:, place]
    return area_P / 2


def _from_lowest(points_2PN: Tensor, valid_PN: Tensor) -> Tensor:
    """Points relative to the lowest, or the leftmost of several lowest, which swaps places with the first."""
    x_PN, y_PN = points_2PN.where(valid_PN, torch.inf)
    lowest_PN = y_PN == y_PN.amin(dim=1, keepdim=True)
    start_P1 = x_PN.where(lowest_PN, torch.inf).argmin(dim=1, keepdim=True)
    place_PN = _slots(x_PN).repeat(len(x_PN), 1)
    place_PN.scatter_(1, start_P1, 0)
    place_PN[:, :1] = start_P1
    return _take(points_2PN - _take(points_2PN, start_P1), place_PN)


def _before(points_2PN: Tensor) -> Tensor:
    """Whether one point (axis 1) precedes one (axis 2) by angle around the origin, or distance if in line."""
    turn_PNN = _cross(points_2PN[..., None], points_2PN[..., None, :])
    distance_PN = _dot(points_2PN, points_2PN)
    nearer_PNN = distance_PN[:, :, None] < distance_PN[:, None]
    return torch.where(turn_PNN.abs() <= IN_LINE, nearer_PNN, turn_PNN > 0)


def _insertion_order(before_PNN: Tensor) -> Tensor:
    """Indices of the points after an insertion sort that leaves the first in place, [P, N].

    Points that are nearly in line are ordered by distance, which is not always consistent with the angles of
    others, so the result depends on the sorting algorithm. std::sort uses insertion sort for at most 16
    elements, and no pair of boxes has been seen with more.
    """
    slot_N = _slots(before_PNN)
    order_PN = slot_N.repeat(len(before_PNN), 1)
    for point in range(2, len(slot_N)):
        sorted_PN, slots = order_PN[:, 1:point], slot_N[1 : point + 1]
        after_PN = ~before_PNN[:, point].gather(1, sorted_PN)
        # insert it behind the last that it does not precede, but in front if it precedes the first
        place_P1 = ((after_PN * slots[:-1]).amax(dim=1) * after_PN[:, 0] + 1)[:, None]
        moved_PN = torch.where(slots == place_P1, point, order_PN[:, :point])
        order_PN[:, 1 : point + 1] = torch.where(slots < place_P1, order_PN[:, 1 : point + 1], moved_PN)
    return order_PN


def _scan(points_2PN: Tensor, valid_PN: Tensor) -> tuple[Tensor, Tensor]:
    """Sorted points with the corners of the hull in front, [2, P, N], and the number of corners, [P]."""
    far_PN = valid_PN & (_dot(points_2PN, points_2PN) > SAME_POINT)
    taken_PN = valid_PN & (far_PN.cumsum(dim=1) > 0)  # skip points equal to the first until one differs
    hull_2PN, slot_N = points_2PN.clone(), _slots(points_2PN)
    top_P1 = torch.zeros_like(taken_PN[:, :1], dtype=torch.long)
    for point in range(1, len(slot_N)):
        own_2P1, taken_P1 = points_2PN[..., point, None], taken_PN[:, point, None]
        below_2PN, corner_2PN = hull_2PN[..., : point - 1], hull_2PN[..., 1:point]
        stays_PN = ~(_cross(own_2P1 - below_2PN, corner_2PN - below_2PN) >= 0) & (slot_N[1:point] <= top_P1)
        kept_P1 = functional.pad(stays_PN * slot_N[1:point], (1, 0)).amax(dim=1, keepdim=True)
        top_P1 = torch.where(taken_P1, kept_P1 + 1, top_P1)
        hull_2PN = torch.where(taken_P1 & (slot_N == top_P1), own_2P1, hull_2PN)
    return hull_2PN, top_P1[:, 0] + 1
