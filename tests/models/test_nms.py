"""NMS in torch against what mmcv's compiled operations kept, see tests/golden/record_nms.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from mmdet3d.models.layers.box3d_nms import circle_nms as library_circle_nms
from torch import Tensor

from dualdistill.models.nms import PAIRS_AT_ONCE, circle_nms, plain_nms, rotated_nms

GOLDEN = Path(__file__).parents[1] / "golden"


class Recorded(NamedTuple):
    boxes: Tensor
    scores: Tensor
    order: Tensor  # in which torch sorted the scores
    kept: Tensor
    iou: float

    @property
    def ranks(self) -> Tensor:
        """Scores without ties that sort everywhere as the recorded ones did."""
        return -self.order.argsort().float()

    @property
    def sorts_alike(self) -> bool:
        return torch.equal(self.scores.sort(0, descending=True).indices, self.order)


def recorded(name: str) -> Iterator[Recorded]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        sizes, kept_sizes = file["size"].tolist(), file["kept_size"].tolist()
        rows = [torch.from_numpy(file[key]).split(sizes) for key in ("boxes", "scores")]
        order = torch.from_numpy(file["order"]).long().split(sizes)
        kept = torch.from_numpy(file["kept"]).long().split(kept_sizes)
        yield from map(Recorded, *rows, order, kept, file["iou"].tolist())


@pytest.fixture(scope="module")
def rotated() -> list[Recorded]:
    return list(recorded("nms_rotated"))


def test_the_recorded_sets_are_many_and_of_every_kind(rotated: list[Recorded]) -> None:
    assert len(rotated) >= 2000
    sizes = [len(own.boxes) for own in rotated]
    assert {0, 1, 500} <= set(sizes)
    tied = [len(own.scores.unique()) < len(own.scores) for own in rotated]
    assert sum(tied) > 300
    suppressed = [len(own.kept) < len(own.boxes) for own in rotated]
    assert 0.5 < sum(suppressed) / len(rotated) < 0.95


def at_once(sets: list[Recorded]) -> Iterator[tuple[Recorded, Tensor]]:
    """Each with what is kept when all are given together, each with its own threshold."""
    yield from zip(sets, rotated_nms([(own.boxes, own.ranks, own.iou) for own in sets]), strict=True)


def test_rotated_nms_keeps_what_mmcv_keeps_in_its_order(rotated: list[Recorded]) -> None:
    compared = list(at_once(rotated))
    assert len(compared) == len(rotated)
    assert all(torch.equal(kept, own.kept) for own, kept in compared)


def test_a_set_alone_is_as_among_others(rotated: list[Recorded]) -> None:
    for own in rotated[:40]:
        assert torch.equal(rotated_nms([(own.boxes, own.ranks, own.iou)])[0], own.kept)
    assert rotated_nms([]) == []


def test_equal_scores_come_in_the_order_of_torch_sort(rotated: list[Recorded]) -> None:
    """As recorded, where torch sorts as it did then."""
    tied = [own for own in rotated if len(own.scores.unique()) < len(own.scores) and own.sorts_alike]
    for own in tied[:40]:
        assert torch.equal(rotated_nms([(own.boxes, own.scores, own.iou)])[0], own.kept)


def test_plain_nms_keeps_what_mmcv_keeps_in_its_order() -> None:
    sets = list(recorded("nms"))
    assert len(sets) == 300
    for own in sets:
        assert plain_nms(own.boxes, own.ranks, own.iou).tolist() == own.kept.tolist()
    assert plain_nms(torch.zeros(0, 4), torch.zeros(0), 0.7).tolist() == []


@pytest.mark.parametrize("radius", [1.0, 3.4641016])
def test_circle_nms_keeps_what_mmdet3d_keeps_for_the_square_of_the_radius(radius: float) -> None:
    draw = torch.Generator().manual_seed(0)
    for count in (0, 1, 2, 60, 300):
        centres_K2 = torch.rand(count, 2, generator=draw) * 20 - torch.tensor([3.0, 30.0])
        scores_K = torch.randperm(count, generator=draw) / 512
        rows_K3 = torch.cat([centres_K2, scores_K[:, None]], dim=1).numpy()
        expected = library_circle_nms.py_func(rows_K3, radius**2, count)
        assert circle_nms(centres_K2, scores_K, radius).tolist() == expected


def test_circle_nms_measures_in_metres_and_drops_a_centre_at_the_radius() -> None:
    scores_K = torch.tensor([0.7, 0.9, 0.8, 0.6])
    # the second drops the third, and the third, being dropped, not the first; the last is 2.5 m away
    centres_K2 = torch.tensor([[7.0, -4.0], [4.0, -4.0], [5.5, -4.0], [4.0, -6.5]])
    assert circle_nms(centres_K2, scores_K, 1.5).tolist() == [1, 0, 3]
    assert circle_nms(centres_K2, scores_K, 2.5).tolist() == [1, 0]


def test_a_heap_larger_than_a_step_leaves_its_best_box() -> None:
    count = 200
    assert count * (count - 1) / 2 > 2 * PAIRS_AT_ONCE
    boxes_K5 = torch.tensor([[3.0, -4.0, 4.0, 2.0, 0.3]]).repeat(count, 1)
    boxes_K5[:, :2] += torch.rand(count, 2) * 0.1
    scores_K = torch.rand(count)
    assert rotated_nms([(boxes_K5, scores_K, 0.2)])[0].tolist() == [int(scores_K.argmax())]


def test_boxes_that_reach_the_threshold_exactly_are_suppressed_when_rotated_and_kept_when_upright() -> None:
    scores_2 = torch.tensor([0.9, 0.8])
    rotated_25 = torch.tensor([[0.0, 0.0, 2.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0, 0.0]])  # an IoU of a half
    upright_24 = torch.tensor([[0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 1.0, 1.0]])
    assert rotated_nms([(rotated_25, scores_2, 0.5)])[0].tolist() == [0]
    assert plain_nms(upright_24, scores_2, 0.5).tolist() == [0, 1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_keeps_the_same(rotated: list[Recorded]) -> None:
    gpu = [own._replace(boxes=own.boxes.cuda(), order=own.order.cuda()) for own in rotated]
    for own, kept in at_once(gpu):
        assert kept.is_cuda
        assert torch.equal(kept.cpu(), own.kept)
