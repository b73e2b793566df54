"""The equations of LabelDistill as loops over cells, channels and boxes in plain floats.

Written from the formulas, not from the production code; slow, for small maps only. Maps of a batch are
nested as [B][C][H][W], a mask as [B][H][W].
Axes: B batch, C channels, N classes, H W BEV rows (y) and columns (x), K boxes.
"""

from __future__ import annotations

import math

from torch import Tensor

Map = list[list[float]]
Maps = list[list[Map]]
Predictions = list[dict[str, Tensor]]
TASKS = ((0,), (1, 2), (3, 4), (5,), (6, 7), (8, 9))  # classes by task
VALUES = ("reg", "height", "dim", "rot", "vel")


def conv3x3(maps: Maps, weight_OI33: Tensor, bias_O: Tensor | None, *, replicate: bool) -> Maps:
    """Beyond the border: the cell next to it, or zero."""
    height, width = len(maps[0][0]), len(maps[0][0][0])

    def at(channel: Map, row: int, column: int) -> float:
        if replicate:
            row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
        return channel[row][column] if 0 <= row < height and 0 <= column < width else 0.0

    def cell(sample: list[Map], kernel_I33: list[list[list[float]]], row: int, column: int) -> float:
        return sum(
            kernel[i][j] * at(channel, row + i - 1, column + j - 1)
            for channel, kernel in zip(sample, kernel_I33, strict=True)
            for i in range(3)
            for j in range(3)
        )

    biases = [0.0] * len(weight_OI33) if bias_O is None else bias_O.tolist()
    return [
        [
            [[cell(sample, kernel, r, c) + bias for c in range(width)] for r in range(height)]
            for kernel, bias in zip(weight_OI33.tolist(), biases, strict=True)
        ]
        for sample in maps
    ]


def batch_norm(maps: Maps, gain_C: Tensor, bias_C: Tensor) -> Maps:
    """Batch norm with batch statistics."""
    normalised: Maps = [[] for _ in maps]
    for channel, (gain, bias) in enumerate(zip(gain_C.tolist(), bias_C.tolist(), strict=True)):
        values = [value for sample in maps for row in sample[channel] for value in row]
        mean = sum(values) / len(values)
        spread = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values) + 1e-5)
        for sample, out in zip(maps, normalised, strict=True):
            out.append([[(value - mean) / spread * gain + bias for value in row] for row in sample[channel]])
    return normalised


def relu(maps: Maps) -> Maps:
    return [
        [[[max(0.0, value) for value in row] for row in channel] for channel in sample] for sample in maps
    ]


def add(first: Maps, second: Maps) -> Maps:
    return [
        [
            [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(*channels, strict=True)]
            for channels in zip(*samples, strict=True)
        ]
        for samples in zip(first, second, strict=True)
    ]


def feature_loss(student: Maps, teacher: Maps, mask: list[Map]) -> float:
    """Squared error over the channels, weighted by the mask and divided by its sum, at least one."""
    total, weight = 0.0, 0.0
    for ours, theirs, weights in zip(student, teacher, mask, strict=True):
        for row in range(len(weights)):
            for column in range(len(weights)):
                error = sum((t[row][column] - s[row][column]) ** 2 for s, t in zip(ours, theirs, strict=True))
                total += weights[row][column] * error
                weight += weights[row][column]
    return total / max(1.0, weight)


def score(logit: float) -> float:
    return min(max(1 / (1 + math.exp(-logit)), 1e-4), 1 - 1e-4)


def heatmap_response(student: Predictions, teacher: Predictions, heatmap_BNHW: Tensor) -> float:
    """Focal loss (alpha 2, gamma 4) against teacher x ground truth, by the number of peaks of each task."""
    total = 0.0
    batch, _, height, width = heatmap_BNHW.shape
    for ours, theirs, classes in zip(student, teacher, TASKS, strict=True):
        loss, peaks = 0.0, 0
        for sample in range(batch):
            for place, name in enumerate(classes):
                for row in range(height):
                    for column in range(width):
                        peak = float(heatmap_BNHW[sample, name, row, column])
                        probability = score(float(ours["heatmap"][sample, place, row, column]))
                        target = score(float(theirs["heatmap"][sample, place, row, column])) * peak
                        assert target < 1  # so that no cell is a positive one
                        loss -= math.log(1 - probability) * probability**2 * (1 - target) ** 4
                        peaks += peak == 1
        total += loss / max(1, peaks)
    return total


def box_response(
    student: Predictions,
    teacher: Predictions,
    boxes_K9: tuple[Tensor, ...],
    labels_K: tuple[Tensor, ...],
    history_s: list[float],
    half_extent_m: float,
    cell_m: float,
) -> float:
    """A quarter of the L1 distance of the ten values at the boxes' cells; velocities as displacements."""
    total = 0.0
    for ours, theirs, classes in zip(student, teacher, TASKS, strict=True):
        loss, count = 0.0, 0
        for sample, (boxes, labels) in enumerate(zip(boxes_K9, labels_K, strict=True)):
            for box, label in zip(boxes.tolist(), labels.tolist(), strict=True):
                if label not in classes:
                    continue
                row, column = (math.floor((box[axis] + half_extent_m) / cell_m) for axis in (1, 0))
                count += 1
                for name in VALUES:
                    factor = history_s[sample] if name == "vel" else 1.0
                    for k in range(ours[name].shape[1]):
                        if name == "vel" and (math.isnan(box[7 + k]) or abs(history_s[sample]) < 0.05):
                            continue
                        value, target = (float(p[name][sample, k, row, column]) for p in (ours, theirs))
                        loss += abs(value - factor * target)
        total += loss / max(1, count)
    return total / 4
