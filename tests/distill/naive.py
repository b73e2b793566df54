"""The equations of DistillBEV and DualDistill as loops over cells, channels and boxes in plain floats.

Written from the formulas, not from the production code; slow, for small maps only.
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
    """Rotate the point into the frame of the box."""
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


def false_positives(target_NHW: Tensor, logits_NHW: Tensor, threshold: float) -> Map:
    height, width = target_NHW.shape[1:]
    mask = [[0.0] * width for _ in range(height)]
    for row, column in cells(height, width):
        target = max(target_NHW[:, row, column].tolist())
        score = max(1 / (1 + math.exp(-logit)) for logit in logits_NHW[:, row, column].tolist())
        mask[row][column] = float(target < threshold < score)
    return mask


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


def spread(scale: Map) -> Map:
    """The same total, spread evenly over the cells."""
    count = len(scale) * len(scale[0])
    return [[sum(map(sum, scale)) / count] * len(line) for line in scale]


def upsample(feature_CHW: Tensor, size: int) -> list[Map]:
    """Bilinear with aligned corners."""
    channels, height, width = feature_CHW.shape
    source = feature_CHW.tolist()
    upsampled = [[[0.0] * size for _ in range(size)] for _ in range(channels)]
    for channel in range(channels):
        for row, column in cells(size, size):
            y, x = row * (height - 1) / (size - 1), column * (width - 1) / (size - 1)
            for i, j in cells(height, width):
                share = max(0.0, 1 - abs(y - i)) * max(0.0, 1 - abs(x - j))
                upsampled[channel][row][column] += share * source[channel][i][j]
    return upsampled


def conv_norm_relu(
    maps: list[list[Map]], weight_OI: Tensor, gain_O: Tensor, bias_O: Tensor
) -> list[list[Map]]:
    """1x1 conv, batch norm with batch statistics, ReLU; maps are nested as [B][I][H][W]."""
    size, outputs = len(maps[0][0]), []
    for weight_I, gain, bias in zip(weight_OI.tolist(), gain_O.tolist(), bias_O.tolist(), strict=True):
        mixed = [
            [
                [sum(w * m[r][c] for w, m in zip(weight_I, sample, strict=True)) for c in range(size)]
                for r in range(size)
            ]
            for sample in maps
        ]
        values = [value for sample in mixed for line in sample for value in line]
        mean = sum(values) / len(values)
        deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values) + 1e-5)
        outputs.append(
            [
                [[max(0.0, gain * (value - mean) / deviation + bias) for value in line] for line in sample]
                for sample in mixed
            ]
        )
    return [[output[sample] for output in outputs] for sample in range(len(maps))]


def soft_loss(
    student: dict[str, Tensor], teacher: dict[str, Tensor], temperature: float, velocity_weight: float
) -> float:
    """Soft targets of one task, cell by cell: quality focal loss of the scores, weighted L1 of the boxes."""
    batch, classes, height, width = teacher["heatmap"].shape
    focal = regression = scores = fired = 0.0
    for sample in range(batch):
        for row, column in cells(height, width):
            best = 0.0
            for name in range(classes):
                target = sigmoid(teacher["heatmap"][sample, name, row, column].item() / temperature)
                probability = sigmoid(student["heatmap"][sample, name, row, column].item())
                entropy = -target * math.log(probability) - (1 - target) * math.log(1 - probability)
                focal += abs(target - probability) * entropy
                scores += target
                best = max(best, target)
            difference = 0.0
            for name in ("reg", "height", "dim", "rot", "vel"):
                weight = velocity_weight if name == "vel" else 1.0
                pair = (student[name][sample, :, row, column], teacher[name][sample, :, row, column])
                difference += weight * sum(
                    abs(a - b) for a, b in zip(*(values.tolist() for values in pair), strict=True)
                )
            regression += best * difference
            fired += best
    return focal / max(1.0, scores) + 0.25 * regression / max(1.0, fired)


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))
