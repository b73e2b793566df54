"""The equations of X3KD as loops over images, boxes, cells and pixels in plain floats.

Written from the formulas, not from the production code; slow, for small maps only. Convolutions and linear
layers are the method's modules. Axes: B batch, N cameras, C channels, H W rows and columns, S instances.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

Box = list[float]
Map = list[list[list[float]]]


def softplus(value: float) -> float:
    return math.log1p(math.exp(-abs(value))) + max(value, 0.0)


def cross_entropy(logit: float, target: float) -> float:
    """Binary cross-entropy of a logit; the target may be soft."""
    return target * softplus(-logit) + (1 - target) * softplus(logit)


def class_entropy(logits: list[float], label: int) -> float:
    return math.log(sum(math.exp(logit) for logit in logits)) - logits[label]


def feature_loss(aligned_BCHW: Tensor, teacher_BCHW: Tensor, occupied_BYX: Tensor, norm: str) -> float:
    """Mean over the cells that hold a pillar which is not empty, and over channels."""
    batch, channels, height, width = teacher_BCHW.shape
    share = occupied_BYX.shape[1] // height
    total, cells = 0.0, 0
    for b in range(batch):
        student, teacher = aligned_BCHW[b].tolist(), teacher_BCHW[b].tolist()
        for row in range(height):
            for column in range(width):
                block = occupied_BYX[
                    b, row * share : (row + 1) * share, column * share : (column + 1) * share
                ]
                if not block.any():
                    continue
                cells += 1
                for c in range(channels):
                    error = student[c][row][column] - teacher[c][row][column]
                    total += (abs(error) if norm == "l1" else error**2) / channels
    return total / max(1, cells)


def domain_loss(discriminator: nn.Module, aligned_BCHW: Tensor, teacher_BCHW: Tensor) -> float:
    """The student is domain 0, the teacher 1."""
    losses = [
        class_entropy(discriminator(map_CHW[None])[0].tolist(), domain)
        for domain, maps in enumerate((aligned_BCHW, teacher_BCHW))
        for map_CHW in maps
    ]
    return sum(losses) / len(losses)


def output_losses(
    student: list[dict[str, Tensor]], teacher: list[dict[str, Tensor]], ages_s: list[float], threshold: float
) -> tuple[float, float]:
    """Quality focal loss, and L1 times the score, per place of a heatmap where the teacher is sure."""
    score_loss, box_loss, places = 0.0, 0.0, 0
    for ours, theirs in zip(student, teacher, strict=True):
        batch, classes, height, width = theirs["heatmap"].shape
        for b in range(batch):
            for g in range(classes):
                for y in range(height):
                    for x in range(width):
                        score = 1 / (1 + math.exp(-float(theirs["heatmap"][b, g, y, x])))
                        if score <= threshold:
                            continue
                        places += 1
                        logit = float(ours["heatmap"][b, g, y, x])
                        probability = 1 / (1 + math.exp(-logit))
                        score_loss += (score - probability) ** 2 * cross_entropy(logit, score)
                        for name in ("reg", "height", "dim", "rot", "vel"):
                            if name == "vel" and abs(ages_s[b]) < 0.05:
                                continue
                            unit = ages_s[b] if name == "vel" else 1.0
                            for value, target in zip(
                                ours[name][b, :, y, x], theirs[name][b, :, y, x], strict=True
                            ):
                                box_loss += score * abs(float(value) - unit * float(target))
    return score_loss / max(1, places), box_loss / max(1, places)


def anchors(height: int, width: int) -> list[Box]:
    boxes = []
    for row in range(height):
        for column in range(width):
            for ratio in (0.5, 1.0, 2.0):
                for side in (1, 2, 4, 8):
                    w, h = side / math.sqrt(ratio), side * math.sqrt(ratio)
                    x, y = column + 0.5, row + 0.5
                    boxes.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return boxes


def overlap(first: Box, second: Box) -> float:
    width = max(0.0, min(first[2], second[2]) - max(first[0], second[0]))
    height = max(0.0, min(first[3], second[3]) - max(first[1], second[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return width * height / (sum(areas) - width * height)


def owners(boxes: list[Box], truths: list[Box], positive: float, negative: float, best: bool) -> list[int]:
    """The instance of each box; -1 for background, -2 for neither."""
    owner = []
    for box in boxes:
        overlaps = [overlap(box, truth) for truth in truths]
        most = max(overlaps, default=0.0)
        owner.append(-1 if most < negative else overlaps.index(most) if most >= positive else -2)
    for number, truth in enumerate(truths if best else ()):
        overlaps = [overlap(box, truth) for box in boxes]
        if max(overlaps) >= negative:
            for place, value in enumerate(overlaps):
                if max(overlaps) - value < 1e-12:
                    owner[place] = number
    return owner


def spread(places: list[int], count: int) -> list[int]:
    if len(places) <= count:
        return places
    return [places[number * len(places) // count] for number in range(count)]


def sampled(owners: list[int], count: int, share: float) -> tuple[list[int], list[int]]:
    positive = spread([place for place, owner in enumerate(owners) if owner >= 0], int(count * share))
    background = [place for place, owner in enumerate(owners) if owner == -1]
    return positive, spread(background, count - len(positive))


def deltas(box: Box, target: Box, units: Sequence[float] = (1, 1, 1, 1)) -> list[float]:
    shifts = []
    for axis in (0, 1):
        size, target_size = box[axis + 2] - box[axis], target[axis + 2] - target[axis]
        shift = (target[axis] + target[axis + 2] - box[axis] - box[axis + 2]) / 2
        shifts.append((shift / size, math.log(target_size / size)))
    (x, w), (y, h) = shifts
    return [value / unit for value, unit in zip((x, y, w, h), units, strict=True)]


def moved(box: Box, delta: list[float], size: tuple[int, int]) -> Box:
    """The inverse of `deltas`, clipped to the map."""
    edges: list[tuple[float, float]] = []
    for axis, limit in ((0, size[1]), (1, size[0])):
        side = box[axis + 2] - box[axis]
        middle = (box[axis] + box[axis + 2]) / 2 + side * delta[axis]
        half = side * math.exp(min(delta[axis + 2], math.log(1000 / 16))) / 2
        edges.append((min(max(middle - half, 0), limit), min(max(middle + half, 0), limit)))
    (left, right), (top, bottom) = edges
    return [left, top, right, bottom]


def proposals(
    scores: list[float], moves: list[list[float]], boxes: list[Box], size: tuple[int, int]
) -> list[Box]:
    order = sorted(range(len(scores)), key=lambda place: -scores[place])[:256]
    kept: list[Box] = []
    for place in order:
        box = moved(boxes[place], moves[place], size)
        empty = box[0] >= box[2] or box[1] >= box[3]
        if not empty and all(overlap(box, other) <= 0.7 for other in kept):
            kept.append(box)
    return kept[:64]


def crop(maps: Map, box: Box, side: int) -> Map:
    """RoIAlign: every cell is the mean of four bilinear samples."""
    height, width = len(maps[0]), len(maps[0][0])
    cropped = [[[0.0] * side for _ in range(side)] for _ in maps]
    for i in range(2 * side):
        for j in range(2 * side):
            y = box[1] + (i + 0.5) * (box[3] - box[1]) / (2 * side) - 0.5
            x = box[0] + (j + 0.5) * (box[2] - box[0]) / (2 * side) - 0.5
            y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            for values, cells in zip(maps, cropped, strict=True):
                above = values[top][left] * (left + 1 - x) + values[top][right] * (x - left)
                below = values[bottom][left] * (left + 1 - x) + values[bottom][right] * (x - left)
                cells[i // 2][j // 2] += (above * (top + 1 - y) + below * (y - top)) / 4
    return cropped


def bounds(mask_HW: Tensor, stride: float) -> Box:
    places = [(row, column) for row, column in mask_HW.nonzero().tolist()]
    rows, columns = [row for row, _ in places], [column for _, column in places]
    return [edge / stride for edge in (min(columns), min(rows), max(columns) + 1, max(rows) + 1)]


def instance_losses(head: Any, image_BNChw: Tensor, instances: Any, threshold: float) -> dict[str, float]:
    """Both stages of a Mask R-CNN on the map of each image."""
    total = dict.fromkeys(("anchor_score", "anchor_box", "region_class", "region_box", "region_mask"), 0.0)
    count = dict.fromkeys(("anchors", "regions", "inside"), 0)
    for image_Chw, image in zip(
        image_BNChw.flatten(0, 1), (image for sample in instances for image in sample), strict=True
    ):
        size = (image_Chw.shape[1], image_Chw.shape[2])
        stride = image.size[1] / size[1]
        sure = [s for s, score in enumerate(image.scores_S.tolist()) if score > threshold]
        instance_boxes = [bounds(image.masks(torch.tensor([s]))[0], stride) for s in sure]
        hidden = head.hidden(image_Chw[None])
        # a cell's channels go anchor by anchor
        scores = head.anchor_score(hidden)[0].permute(1, 2, 0).flatten().tolist()
        moves = head.anchor_box(hidden)[0].permute(1, 2, 0).reshape(-1, 4).tolist()
        grid = anchors(*size)

        owner = owners(grid, instance_boxes, 0.7, 0.3, best=True)
        positive, negative = sampled(owner, 256, 0.5)
        count["anchors"] += len(positive) + len(negative)
        for place in positive + negative:
            total["anchor_score"] += cross_entropy(scores[place], float(place in positive))
        for place in positive:
            target = deltas(grid[place], instance_boxes[owner[place]])
            total["anchor_box"] += sum(abs(a - b) for a, b in zip(moves[place], target, strict=True))

        boxes = instance_boxes + proposals(scores, moves, grid, size)
        owner = owners(boxes, instance_boxes, 0.5, 0.5, best=False)
        positive, negative = sampled(owner, 64, 0.25)
        count["regions"] += len(positive) + len(negative)
        count["inside"] += len(positive)
        feature = image_Chw.tolist()
        for place in positive + negative:
            cropped = torch.tensor(crop(feature, boxes[place], 7), dtype=image_Chw.dtype)
            logits, steps = (value[0].tolist() for value in head.box_head(cropped[None]))
            label = int(image.labels_S[sure[owner[place]]]) if place in positive else 10
            total["region_class"] += class_entropy(logits, label)
            if place not in positive:
                continue
            instance = sure[owner[place]]
            target = deltas(boxes[place], instance_boxes[owner[place]], (0.1, 0.1, 0.2, 0.2))
            delta = steps[4 * label : 4 * label + 4]
            total["region_box"] += sum(abs(a - b) for a, b in zip(delta, target, strict=True))
            cropped = torch.tensor(crop(feature, boxes[place], 14), dtype=image_Chw.dtype)
            pixels = head.mask_head(cropped[None])[0, label].tolist()
            whole = image.masks(torch.tensor([instance]))[0].double().tolist()
            inside = crop([whole], [stride * edge for edge in boxes[place]], 28)[0]
            for row, target in zip(pixels, inside, strict=True):
                for logit, share in zip(row, target, strict=True):
                    total["region_mask"] += cross_entropy(logit, float(share >= 0.5)) / 28**2
    shared = {"anchor": count["anchors"], "region": count["regions"]}
    means = {
        name: value / shared[name.split("_")[0]] for name, value in total.items() if name != "region_mask"
    }
    return means | {"region_mask": total["region_mask"] / max(1, count["inside"])}
