"""Boxes at temperatures against boxes at thresholds, on a heatmap made by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor

from dualdistill.config.nuscenes import TASKS
from dualdistill.config.run_spec import GridSpec, HeadSpec
from dualdistill.models.center_head import REGRESSION, Head
from dualdistill.probes import run
from dualdistill.report.figures import temperature

TEMPERATURES = (1.0, 0.5, 0.1)
SCORES = (0.05, 0.15, 0.24, 0.26, 0.3, 0.44, 0.45, 0.6, 0.99)


def peaks(scores: tuple[float, ...], columns: tuple[int, ...]) -> list[dict[str, Tensor]]:
    """Cars of 1 x 1 m in one row of a 32 x 32 grid, one per score, and nothing of any other class."""
    predictions = []
    for names in TASKS:
        maps = {name: torch.zeros(1, channels, 32, 32) for name, channels in REGRESSION.items()}
        predictions.append({**maps, "heatmap": torch.full((1, len(names), 32, 32), -20.0)})
    for score, column in zip(scores, columns, strict=True):
        predictions[0]["heatmap"][0, 0, 16, column] = torch.tensor(score).logit()
    return predictions


@pytest.fixture
def head() -> Head:
    spec = HeadSpec(share_channels=8, score_threshold=0.02, max_candidates=100)
    return Head(4, spec, GridSpec(half_extent_m=16.0, cell_m=1.0)).eval()


def test_a_temperature_is_equivalent_to_a_threshold():
    thresholds = [run.equivalent(temperature, 0.1) for temperature in (*TEMPERATURES, 1e-9)]
    assert thresholds == pytest.approx([0.1, 0.25, 0.4453, 0.5], abs=1e-4)


def test_boxes_at_a_temperature_are_those_at_its_threshold(head: Head):
    same_as = [run.equivalent(temperature, 0.1) for temperature in TEMPERATURES]
    predictions = peaks(SCORES, tuple(range(2, 29, 3)))
    common, at_temperature, at_threshold = run.compare(head, predictions, TEMPERATURES, 0.1, same_as)
    kept = [sum(score > threshold for score in SCORES) for threshold in same_as]
    assert kept == [8, 6, 3]
    assert at_threshold.tolist() == kept
    # without neighbours nothing ties: both rankings agree, and a set meets the other ones in its part of them
    assert at_temperature.tolist() == [kept, kept]
    assert common.tolist() == [[[8, 6, 3], [6, 6, 3], [3, 3, 3]]] * 2


def test_only_ties_of_sharpened_scores_choose_another_box(head: Head):
    # two cars that overlap, both beyond where a sharpened score rounds to one
    agreements = []
    for scores in ((0.96, 0.99), (0.99, 0.96)):
        predictions = peaks(scores, (10, 11))
        predictions[0]["dim"][:] = torch.tensor(3.0).log()
        same_as = [run.equivalent(0.1, 0.1)]
        common, sizes, at_threshold = run.compare(head, predictions, (0.1,), 0.1, same_as)
        assert (sizes.tolist(), at_threshold.tolist()) == ([[1], [1]], [1])
        counts = {"common": common, "at_temperature": sizes, "at_threshold": at_threshold}
        agreements.append(temperature.agreement(counts)[:, 0, 0].tolist())
    # by the logit the better car is kept, by the sharpened score the one that happens to come first
    assert [by_logit for _, by_logit in agreements] == [1, 1]
    assert sorted(by_sharpened for by_sharpened, _ in agreements) == [0, 1]


def test_empty_sets_agree():
    counts = {"common": np.zeros((1, 1, 1)), "at_temperature": np.zeros((1, 1)), "at_threshold": np.zeros(1)}
    assert temperature.agreement(counts).tolist() == [[[1.0]]]
