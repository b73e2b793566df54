"""A batch of three toy samples as both detectors would see it, with a real head on a 16 x 16 grid.

Axes: B batch, C channels, H W BEV rows and columns, K boxes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dualdistill.distill.base import Distiller, FeaturePair
from dualdistill.models.head import Head
from dualdistill.spec import GridSpec, HeadSpec

GRID = GridSpec(half_extent_m=6.4, cell_m=0.8)
STUDENT_SHAPES = {"s1": (4, 8, 8), "s2": (8, 4, 4), "s3": (16, 2, 2), "head": (8, 16, 16)}
TEACHER_SHAPES = {"t1": (4, 32, 32), "t2": (4, 16, 16), "t3": (8, 8, 8), "neck": (12, 16, 16)}
BOXES = (
    (1.0, -2.0, 0.0, 4.1, 2.3, 1.5, 0.7, 1.0, 2.0),  # overlaps the next one
    (1.7, -1.2, 0.2, 3.0, 1.9, 1.5, 2.4, 0.0, 0.0),
    (-3.3, 4.4, -0.5, 1.9, 1.2, 1.1, -1.1, 0.5, -0.5),
)


def make_head(inputs: int = 12, velocity_weight: float = 0.2) -> Head:
    return Head(inputs, HeadSpec(share_channels=8, velocity_weight=velocity_weight), GRID)


def make_boxes(counts: tuple[int, ...] = (2, 0, 1), dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    """Sample after sample takes the next boxes of BOXES."""
    rows = iter(BOXES)
    return tuple(
        torch.tensor([next(rows) for _ in range(count)], dtype=dtype).reshape(-1, 9) for count in counts
    )


def make_pair(
    counts: tuple[int, ...] = (2, 0, 1), labels: tuple[int, ...] = (0, 8, 3), *, seed: int = 0
) -> FeaturePair:
    """Student taps ask for gradients; the teacher fires here and there with scores far from 0 and 1."""
    torch.manual_seed(seed)
    head, batch = make_head(), len(counts)
    student = {tap: torch.randn(batch, *shape, requires_grad=True) for tap, shape in STUDENT_SHAPES.items()}
    teacher = {tap: torch.randn(batch, *shape).relu() for tap, shape in TEACHER_SHAPES.items()}
    with torch.no_grad():
        predictions = head.eval()(teacher["neck"])
    for task in predictions:
        task["heatmap"] = torch.randn_like(task["heatmap"]).clamp(max=0.8) - 1
    return FeaturePair(
        student_BCHW=student,
        teacher_BCHW=teacher,
        teacher_predictions=predictions,
        boxes_K9=make_boxes(counts),
        labels_K=tuple(part.long() for part in torch.tensor(labels[: sum(counts)]).split(list(counts))),
        history_s_B=torch.full((batch,), 1.5),
        grid=GRID,
        teacher_head=head,
    )


def bound(method: Distiller) -> Distiller:
    """The method with adapters for the toy shapes."""
    method.bind(STUDENT_SHAPES, TEACHER_SHAPES)
    return method
