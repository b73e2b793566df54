"""A batch of three toy samples as both detectors see it, with a real head on a 16 x 16 grid.

Axes: B batch, C channels, H W BEV rows and columns, K boxes.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from dualdistill.config.run_spec import GridSpec, HeadSpec
from dualdistill.data.batch import ImageDepth, Instances
from dualdistill.distill.base import Distiller
from dualdistill.distill.inputs import FeaturePair
from dualdistill.models.center_head import Head

GRID = GridSpec(half_extent_m=6.4, cell_m=0.8)
STUDENT_SHAPES = {"s0": (7, 16, 16), "s1": (4, 8, 8), "s2": (8, 4, 4), "s3": (16, 2, 2), "head": (8, 16, 16)}
IMAGE_SHAPE, CAMERAS, STRIDE = (8, 6, 10), 2, 4  # of the map of one image
TEACHER_SHAPES = {"t1": (4, 32, 32), "t2": (4, 16, 16), "t3": (8, 8, 8), "neck": (12, 16, 16)}
BOXES = (
    (1.0, -2.0, 0.0, 4.1, 2.3, 1.5, 0.7, 1.0, 2.0),  # overlaps the next one
    (1.7, -1.2, 0.2, 3.0, 1.9, 1.5, 2.4, 0.0, 0.0),
    (-3.3, 4.4, -0.5, 1.9, 1.2, 1.1, -1.1, 0.5, -0.5),
)


def make_head(inputs: int = 12, velocity_weight: float = 0.2) -> Head:
    return Head(inputs, HeadSpec(share_channels=8, velocity_weight=velocity_weight), GRID)


def make_boxes(counts: tuple[int, ...] = (2, 0, 1), dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    """The samples take the boxes of BOXES in order."""
    rows = iter(BOXES)
    return tuple(
        torch.tensor([next(rows) for _ in range(count)], dtype=dtype).reshape(-1, 9) for count in counts
    )


def make_depth(counts: tuple[int, ...]) -> ImageDepth:
    """Two cameras of 3 x 5 cells, each with a point, inside a box or not."""
    owner_BNhw = torch.stack([torch.randint(0, count + 1, (2, 3, 5)) for count in counts])
    return ImageDepth(
        logits_BNDhw=torch.randn(len(counts), 2, 6, 3, 5, requires_grad=True),
        bins_D=torch.arange(6) + 1.5,
        target_BNhw=1 + 6 * torch.rand(len(counts), 2, 3, 5),
        owner_BNhw=owner_BNhw,
    )


def make_instances(count: int) -> Instances:
    """Rectangles of several sizes in an image of four times the map's size; the last has a low score."""
    height, width = (STRIDE * cells for cells in IMAGE_SHAPE[1:])
    masks_SHW = torch.zeros(count, height, width, dtype=torch.bool)
    for number, mask_HW in enumerate(masks_SHW):
        mask_HW[2 + 3 * number : 14 + 4 * number, 9 * number + 1 : 9 * number + 8 + 5 * number] = True
    scores_S = torch.tensor([0.9, 0.5, 0.1])[:count]
    return Instances.of(masks_SHW, torch.tensor([0, 8, 3])[:count], scores_S)


def make_pair(
    counts: tuple[int, ...] = (2, 0, 1), labels: tuple[int, ...] = (0, 8, 3), *, seed: int = 0
) -> FeaturePair:
    """Student taps require gradients; the teacher's scores are far from 0 and 1."""
    torch.manual_seed(seed)
    head, batch = make_head(), len(counts)
    student = {tap: torch.randn(batch, *shape, requires_grad=True) for tap, shape in STUDENT_SHAPES.items()}
    teacher = {tap: torch.randn(batch, *shape).relu() for tap, shape in TEACHER_SHAPES.items()}
    with torch.no_grad():
        predictions = head.eval()(teacher["neck"])
    for task in predictions:
        task["heatmap"] = torch.randn_like(task["heatmap"]).clamp(max=0.8) - 1
        task["heatmap"][:, 0, 3, 12] = 0.9  # a high score off the diagonal
    labels_BCHW = {tap: torch.randn_like(teacher[tap]).relu() for tap in ("t2", "t3")}
    depth = make_depth(counts)
    student_head = make_head(inputs=8)
    images = torch.randn(batch, CAMERAS, *IMAGE_SHAPE, requires_grad=True)
    return FeaturePair(
        student_BCHW=student,
        teacher_BCHW=teacher,
        label_BCHW=labels_BCHW,
        student_predictions=student_head(student["head"]),
        teacher_predictions=predictions,
        image_BNChw=images,
        instances=tuple(tuple(make_instances(count + n) for n in range(CAMERAS)) for count in counts),
        occupied_BYX=torch.rand(batch, 64, 64) < 0.1,
        boxes_K9=make_boxes(counts),
        labels_K=tuple(part.long() for part in torch.tensor(labels[: sum(counts)]).split(list(counts))),
        history_s_B=torch.full((batch,), 1.5),
        depth=depth,
        grid=GRID,
        teacher_head=head,
        progress=0.5,
    )


def in_float64(pair: FeaturePair) -> FeaturePair:
    """A copy for the comparison with loops in plain floats; the head keeps its type."""
    return replace(
        pair,
        student_BCHW={tap: feature.detach().double() for tap, feature in pair.student_BCHW.items()},
        teacher_BCHW={tap: feature.double() for tap, feature in pair.teacher_BCHW.items()},
        label_BCHW={tap: feature.double() for tap, feature in pair.label_BCHW.items()},
        student_predictions=[
            {name: tensor.detach().double() for name, tensor in task.items()}
            for task in pair.student_predictions
        ],
        teacher_predictions=[
            {name: tensor.double() for name, tensor in task.items()} for task in pair.teacher_predictions
        ],
        image_BNChw=pair.image_BNChw.detach().double(),
        history_s_B=pair.history_s_B.double(),
        boxes_K9=tuple(boxes.double() for boxes in pair.boxes_K9),
        depth=replace(
            pair.depth,
            logits_BNDhw=pair.depth.logits_BNDhw.detach().double(),
            bins_D=pair.depth.bins_D.double(),
            target_BNhw=pair.depth.target_BNhw.double(),
        ),
    )


def bound(method: Distiller) -> Distiller:
    """The method with adapters for the toy shapes."""
    method.bind(STUDENT_SHAPES | {"image": IMAGE_SHAPE}, TEACHER_SHAPES)
    return method
