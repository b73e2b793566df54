"""The equations of TiG-BEV as loops over cells, boxes and keypoints in plain floats.

Written from the formulas, not from the production code; slow, for small maps only.
Axes: C channels, D depth bins, H W BEV rows (y) and columns (x), h w cells of the lifted map, K boxes.
"""

from __future__ import annotations

import math

from torch import Tensor

Matrix = list[list[float]]


def inner_depth(logits_BNDhw: Tensor, bins: list[float], target_BNhw: Tensor, owner_BNhw: Tensor) -> float:
    """Mean over object cells of the squared difference of depths relative to the object's reference cell."""
    total, count = 0.0, 0
    batch, cameras, _, height, width = logits_BNDhw.shape
    for sample in range(batch):
        for camera in range(cameras):
            objects: dict[int, list[tuple[float, float]]] = {}
            for row in range(height):
                for column in range(width):
                    owner = int(owner_BNhw[sample, camera, row, column])
                    powers = [
                        math.exp(logit) for logit in logits_BNDhw[sample, camera, :, row, column].tolist()
                    ]
                    expected = sum(p * depth for p, depth in zip(powers, bins, strict=True)) / sum(powers)
                    measured = float(target_BNhw[sample, camera, row, column])
                    if owner:
                        objects.setdefault(owner, []).append((expected, measured))
            for pixels in objects.values():
                best_expected, best_measured = min(pixels, key=lambda pixel: abs(pixel[0] - pixel[1]))
                for expected, measured in pixels:
                    total += ((expected - best_expected) - (measured - best_measured)) ** 2
                    count += 1
    return total / max(1, count)


def keypoints(box: list[float], count: int, enlarge_m: float) -> list[tuple[float, float]]:
    """A count x count grid over the enlarged box with its corners, in metres."""
    x, y, _, length, width, _, yaw, *_ = box
    corner_length, corner_width = length + 2 * enlarge_m, width + 2 * enlarge_m
    points = []
    for i in range(count):
        for j in range(count):
            along, across = corner_length * (i / (count - 1) - 0.5), corner_width * (j / (count - 1) - 0.5)
            distance, angle = math.hypot(along, across), math.atan2(across, along) + yaw
            points.append((x + distance * math.cos(angle), y + distance * math.sin(angle)))
    return points


def sample(feature_CHW: Tensor, x: float, y: float, half_extent_m: float) -> list[float]:
    """All channels at a point in metres, with the released coordinates; zero beyond the map."""
    maps = feature_CHW.tolist()
    size = len(maps[0])
    cell = 2 * half_extent_m / size
    place = []
    for metres in (y, x):
        normalised = min(1.0, max(-1.0, (metres + half_extent_m) / cell / (size - 1) * 2 - 1))
        place.append(((normalised + 1) * size - 1) / 2)  # corners not aligned
    values = [0.0] * len(maps)
    for row in (math.floor(place[0]), math.floor(place[0]) + 1):
        for column in (math.floor(place[1]), math.floor(place[1]) + 1):
            if 0 <= row < size and 0 <= column < size:
                share = (1 - abs(place[0] - row)) * (1 - abs(place[1] - column))
                values = [
                    value + share * channel[row][column] for value, channel in zip(values, maps, strict=True)
                ]
    return values


def box_features(
    feature_BCHW: Tensor, boxes_K9: tuple[Tensor, ...], half_extent_m: float, count: int, enlarge_m: float
) -> list[Matrix]:
    """Per box of the batch: keypoints as rows, channels as columns."""
    return [
        [sample(feature, x, y, half_extent_m) for x, y in keypoints(box, count, enlarge_m)]
        for feature, boxes in zip(feature_BCHW, boxes_K9, strict=True)
        for box in boxes.tolist()
    ]


def transposed(matrix: Matrix) -> Matrix:
    return [list(column) for column in zip(*matrix, strict=True)]


def linear(points: Matrix, weight_TC: Tensor, bias_T: Tensor) -> Matrix:
    """A 1x1 conv of every keypoint."""
    return [
        [
            sum(w * value for w, value in zip(line, point, strict=True)) + bias
            for line, bias in zip(weight_TC.tolist(), bias_T.tolist(), strict=True)
        ]
        for point in points
    ]


def relations(rows: Matrix) -> Matrix:
    """Inner products of all pairs of rows, each line normalised to unit length."""
    products = [[sum(a * b for a, b in zip(first, second, strict=True)) for second in rows] for first in rows]
    return [[value / math.sqrt(sum(v**2 for v in line)) for value in line] for line in products]


def relation_loss(students: list[Matrix], teachers: list[Matrix]) -> float:
    """Mean over boxes and rows, sum over columns, of squared differences of relations."""
    distances = []
    for student, teacher in zip(students, teachers, strict=True):
        for ours, theirs in zip(relations(student), relations(teacher), strict=True):
            distances.append(sum((a - b) ** 2 for a, b in zip(ours, theirs, strict=True)))
    return sum(distances) / len(distances)
