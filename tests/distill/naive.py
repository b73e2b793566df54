"""The equations of DistillBEV and DualDistill again, as loops over cells, channels and boxes in plain floats.

Written from the formulas, not from the production code; slow and only for small maps.
Axes: B batch, C channels, N classes, H W BEV rows (y) and columns (x), K boxes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor

Map = list[list[float]]


def cells(height: int, width: int) -> Iterator[tuple[int, int]]:
    return ((row, column) for row in range(height) for column in range(width))


def contains(box: list[float], x: float, y: float) -> bool:
    """Rotate the point into the box's own frame."""
    centre_x, centre_y, _, length, width, _, yaw, *_ = box
    distance, angle = math.hypot(x - centre_x, y - centre_y), math.atan2(y - centre_y, x - centre_x) - yaw
    return abs(distance * math.cos(angle)) <= length / 2 and abs(distance * math.sin(angle)) <= width / 2


def foreground_scale(boxes_K9: Tensor, half_extent_m: float, size: int) -> Map:
    cell = 2 * half_extent_m / size
    scale = [[0.0] * size for _ in range(size)]
    for row, column in cells(size, size):
        for box in boxes_K9.tolist():
            if contains(box, column * cell - half_extent_m, row * cell - half_extent_m):
                scale[row][column] = 1 / math.sqrt((box[3] / cell) * (box[4] / cell))
                break
    return scale


def false_positives(truth_NHW: Tensor, logits_NHW: Tensor, threshold: float) -> Map:
    height, width = truth_NHW.shape[1:]
    found = [[0.0] * width for _ in range(height)]
    for row, column in cells(height, width):
        truth = max(truth_NHW[:, row, column].tolist())
        score = max(1 / (1 + math.exp(-logit)) for logit in logits_NHW[:, row, column].tolist())
        found[row][column] = float(truth < threshold < score)
    return found


def regions(foreground: Map, candidates: Map) -> dict[str, Map]:
    """S * mask for fg, fp and tn of one sample."""
    size = len(foreground)
    fp = [(r, c) for r, c in cells(size, size) if candidates[r][c] and not foreground[r][c]]
    not_fg = [(r, c) for r, c in cells(size, size) if not foreground[r][c]]
    maps = {
        "fg": foreground,
        "fp": [[0.0] * size for _ in range(size)],
        "tn": [[0.0] * size for _ in range(size)],
    }
    for row, column in not_fg:
        if (row, column) in fp:
            maps["fp"][row][column] = 1 / len(fp)
        else:
            maps["tn"][row][column] = 1 / (len(not_fg) - len(fp))
    return maps


def spatial_attention(feature_CHW: Tensor, tau: float) -> Map:
    channels, height, width = feature_CHW.shape
    powers = [
        [
            math.exp(sum(abs(feature_CHW[k, row, column].item()) for k in range(channels)) / channels / tau)
            for column in range(width)
        ]
        for row in range(height)
    ]
    total = sum(map(sum, powers))
    return [[height * width * power / total for power in line] for line in powers]


def channel_attention(feature_CHW: Tensor, tau: float) -> list[float]:
    channels, height, width = feature_CHW.shape
    powers = [
        math.exp(
            sum(abs(value) for line in feature_CHW[k].tolist() for value in line) / (height * width) / tau
        )
        for k in range(channels)
    ]
    return [channels * power / sum(powers) for power in powers]


def region_loss(
    student_BCHW: Tensor, teacher_BCHW: Tensor, scales: list[Map], tau: float, *, by_channel: bool = False
) -> float:
    """1/B sum_p A S sum_c k_c (F_S - F_T)^2, k_c = 1 unless by_channel."""
    total = 0.0
    batch, channels, height, width = student_BCHW.shape
    for sample in range(batch):
        student, teacher = student_BCHW[sample], teacher_BCHW[sample]
        look_student, look_teacher = spatial_attention(student, tau), spatial_attention(teacher, tau)
        weights = channel_attention(teacher, tau) if by_channel else [1.0] * channels
        for row, column in cells(height, width):
            attention = (look_student[row][column] + look_teacher[row][column]) / 2
            for channel in range(channels):
                difference = student[channel, row, column].item() - teacher[channel, row, column].item()
                total += attention * scales[sample][row][column] * weights[channel] * difference**2
    return total / batch


def spatial_loss(student_BCHW: Tensor, teacher_BCHW: Tensor, kernel_33: Tensor, bias: float) -> float:
    """1/B sum_p |mean_c F_T - conv3x3(mean_c F_S)| with zero padding."""
    total = 0.0
    batch, channels, height, width = student_BCHW.shape
    for sample in range(batch):
        for row, column in cells(height, width):
            value = bias
            for down, right in cells(3, 3):
                y, x = row + down - 1, column + right - 1
                if 0 <= y < height and 0 <= x < width:
                    mean = sum(student_BCHW[sample, :, y, x].tolist()) / channels
                    value += kernel_33[down, right].item() * mean
            total += abs(sum(teacher_BCHW[sample, :, row, column].tolist()) / channels - value)
    return total / batch
