"""Labels of cells, and the cross-entropy over the cells with a LiDAR return."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dualdistill.config.nuscenes import BACKGROUND, CLASSES
from dualdistill.models.cell_classifier import BACKGROUND_WEIGHT, CellClassifier, cell_labels

CAR, CONE = CLASSES.index("car"), CLASSES.index("traffic_cone")


def owners(*cells: tuple[int, int, int, int]) -> Tensor:
    """One camera of two samples, two rows, three columns: (sample, row, column, owner)."""
    owner_BNhw = torch.zeros(2, 1, 2, 3, dtype=torch.int64)
    for sample, row, column, owner in cells:
        owner_BNhw[sample, 0, row, column] = owner
    return owner_BNhw


def naive(classifier: CellClassifier, image_BNChw: Tensor, label_BNhw: Tensor, hit_BNhw: Tensor) -> float:
    """Cell by cell, in Python's floats."""
    kernel_GC = classifier.logits.weight[:, :, 0, 0].tolist()
    bias_G = classifier.logits.bias.tolist()
    summed = weights = 0.0
    for sample, camera, row, column in hit_BNhw.nonzero().tolist():
        cell_C = image_BNChw[sample, camera, :, row, column].tolist()
        score_G = [
            sum(k * c for k, c in zip(kernel_C, cell_C, strict=True)) + bias
            for kernel_C, bias in zip(kernel_GC, bias_G, strict=True)
        ]
        label = int(label_BNhw[sample, camera, row, column])
        weight = BACKGROUND_WEIGHT if label == BACKGROUND else 1.0
        summed += weight * (math.log(sum(math.exp(score) for score in score_G)) - score_G[label])
        weights += weight
    return summed / weights


def test_a_cell_gets_the_label_of_the_box_that_contains_its_point() -> None:
    labels_K = (torch.tensor([CONE, CAR]), torch.tensor([], dtype=torch.int64))
    label_BNhw = cell_labels(owners((0, 0, 2, 1), (0, 1, 0, 2)), labels_K)
    expected = torch.full((2, 1, 2, 3), BACKGROUND)
    expected[0, 0, 0, 2], expected[0, 0, 1, 0] = CONE, CAR
    assert torch.equal(label_BNhw, expected)


def test_the_loss_is_the_weighted_mean_over_the_cells_with_a_return() -> None:
    torch.manual_seed(3)
    classifier, image_BNChw = CellClassifier(4).double(), torch.randn(2, 1, 4, 2, 3, dtype=torch.float64)
    label_BNhw = torch.randint(0, BACKGROUND + 1, (2, 1, 2, 3))
    label_BNhw[0, 0, 0, 0] = BACKGROUND
    hit_BNhw = torch.rand(2, 1, 2, 3) < 0.6
    hit_BNhw[0, 0, 0, 0] = True
    loss = classifier(image_BNChw, label_BNhw, hit_BNhw)
    assert loss.item() == pytest.approx(naive(classifier, image_BNChw, label_BNhw, hit_BNhw), rel=1e-9)
    # cells without a return have no influence
    elsewhere = torch.where(hit_BNhw[:, :, None], image_BNChw, torch.randn_like(image_BNChw))
    assert torch.equal(classifier(elsewhere, label_BNhw, hit_BNhw), loss)


def test_without_a_return_loss_and_gradient_are_zero() -> None:
    nothing = torch.zeros(1, 1, 2, 3, dtype=torch.bool)
    image_BNChw = torch.randn(1, 1, 4, 2, 3, requires_grad=True)
    loss = CellClassifier(4)(image_BNChw, torch.full(nothing.shape, BACKGROUND), nothing)
    assert loss.item() == 0
    loss.backward()
    assert torch.equal(image_BNChw.grad, torch.zeros_like(image_BNChw))


def test_the_loss_trains_the_map_to_distinguish_a_cone_from_a_car() -> None:
    torch.manual_seed(3)
    classifier, image_BNChw = CellClassifier(4), torch.randn(1, 1, 4, 2, 3)
    label_BNhw = torch.tensor([[[[CAR, CONE, BACKGROUND], [CONE, CAR, CAR]]]])
    hit_BNhw = torch.ones(1, 1, 2, 3, dtype=torch.bool)
    optimizer = torch.optim.Adam(classifier.parameters(), lr=0.3)
    for _ in range(200):
        optimizer.zero_grad()
        classifier(image_BNChw, label_BNhw, hit_BNhw).backward()
        optimizer.step()
    assert torch.equal(classifier.logits(image_BNChw[0]).argmax(1)[0], label_BNhw[0, 0])
