"""Quality of a label encoder: nuScenes' own average precision, in the LiDAR's frame."""

from __future__ import annotations

import pytest
import torch
from nuscenes.eval.common.data_classes import EvalBoxes
from torch import Tensor

from dualdistill.training.diagnostics import _devkit_boxes, average_precision

BOXES_K9 = torch.tensor(
    [
        [5.0, 1, 0, 4.5, 1.9, 1.6, 0.3, 1, 0],
        [-8.0, 6, 0, 4.5, 1.9, 1.6, -2.0, float("nan"), 0],
        [2.0, -9, 0, 0.7, 0.7, 1.8, 1.0, 0, 1],
    ]
)
LABELS_K = torch.tensor([0, 0, 8])


def boxes(boxes_K9: Tensor, scores_K: Tensor) -> EvalBoxes:
    added = EvalBoxes()
    added.add_boxes("frame", _devkit_boxes("frame", boxes_K9, LABELS_K[: len(boxes_K9)], scores_K))
    return added


GROUND_TRUTH = boxes(BOXES_K9, torch.full((3,), -1.0))


def test_a_box_at_the_right_place_scores_one() -> None:
    precision = average_precision(GROUND_TRUTH, boxes(BOXES_K9, torch.tensor([0.9, 0.8, 0.3])))
    assert precision == {"car": pytest.approx(1.0), "pedestrian": pytest.approx(1.0)}


def test_an_error_of_075_m_fails_the_strictest_of_four_distances() -> None:
    moved_K9 = BOXES_K9 + torch.tensor([0.75, 0, 0, 0, 0, 0, 0, 0, 0])
    precision = average_precision(GROUND_TRUTH, boxes(moved_K9, torch.tensor([0.9, 0.8, 0.3])))
    assert precision == {"car": pytest.approx(0.75), "pedestrian": pytest.approx(0.75)}


def test_a_missed_class_scores_zero() -> None:
    precision = average_precision(GROUND_TRUTH, boxes(BOXES_K9[:2], torch.tensor([0.9, 0.8])))
    assert precision == {"car": pytest.approx(1.0), "pedestrian": 0.0}


def test_length_is_the_second_size_of_the_devkit() -> None:
    (box,) = _devkit_boxes("frame", BOXES_K9[:1], LABELS_K[:1], torch.tensor([0.5]))
    assert box.size == pytest.approx((1.9, 4.5, 1.6))
