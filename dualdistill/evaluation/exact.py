"""The official figures of any subset of samples from stored matches.

The same arithmetic as the devkit's `accumulate`, over columns. Its interpolation, its classes for figures
and curves, and its rules for AP and errors are used as they are. Axes: P predictions, S samples, M matches.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from nuscenes.eval.detection.algo import calc_ap, calc_tp
from nuscenes.eval.detection.constants import TP_METRICS
from nuscenes.eval.detection.data_classes import (
    DetectionConfig,
    DetectionMetricData,
    DetectionMetricDataList,
    DetectionMetrics,
)

from dualdistill.config.nuscenes import CLASSES, UNDEFINED_ERRORS
from dualdistill.data.columns import Integers
from dualdistill.data.geometry import Array
from dualdistill.evaluation.matching import Matches

Figures = tuple[DetectionMetrics, DetectionMetricDataList]


class ExactEvaluation:
    """Figures of one run; sorts its predictions once."""

    def __init__(self, matches: Matches, config: DetectionConfig) -> None:
        self.matches, self.config = matches, config
        # of equal scores the later one comes first, as in the devkit
        order = np.argsort(matches.score, kind="stable")[::-1]
        self._order = {name: order[matches.label[order] == label] for label, name in enumerate(CLASSES)}

    def figures(self, times_S: Integers | None = None) -> Figures:
        """Figures and curves, as from DetectionEval.

        `times_S` says how often each sample counts: 0 leaves it out, 2 is twice in a bootstrap.
        """
        scores, details = DetectionMetrics(self.config), DetectionMetricDataList()
        for name in self.config.class_names:
            for place, distance in enumerate(self.config.dist_ths):
                data = self._accumulate(name, place, times_S)
                details.set(name, distance, data)
                ap = calc_ap(data, self.config.min_recall, self.config.min_precision)
                scores.add_label_ap(name, distance, ap)
            at_threshold = details[(name, self.config.dist_th_tp)]
            for error in TP_METRICS:
                undefined = error in UNDEFINED_ERRORS.get(name, ())
                value = math.nan if undefined else calc_tp(at_threshold, self.config.min_recall, error)
                scores.add_label_tp(name, error, value)
        scores.add_runtime(0.0)
        return scores, details

    def ground_truth_boxes(self) -> dict[str, int]:
        """Number of ground-truth boxes by class after the filters."""
        return dict(zip(CLASSES, self.matches.ground_truth_SC.sum(axis=0).tolist(), strict=True))

    def _accumulate(self, name: str, place: int, times_S: Integers | None) -> DetectionMetricData:
        """Precision, confidence and errors over recall, of a class at a threshold."""
        matches, rows = self.matches, self._order[name]
        boxes_S = matches.ground_truth_SC[:, CLASSES.index(name)]
        if times_S is not None:
            rows = np.repeat(rows, times_S[matches.sample[rows]])
            boxes_S = boxes_S * times_S
        pair = matches.pair_DP[place, rows]
        matched = pair >= 0
        if not boxes_S.sum() or not matched.any():
            return DetectionMetricData.no_predictions()
        score, right = matches.score[rows], np.cumsum(matched).astype(float)
        recall = np.linspace(0, 1, DetectionMetricData.nelem)
        reached, precision = right / float(boxes_S.sum()), right / np.arange(1, len(right) + 1)
        confidence = np.interp(recall, reached, score, right=0)
        means_M5 = _running_means(matches.error_M5[pair[matched]])
        at = confidence[::-1], score[matched][::-1]
        errors = {
            error: np.interp(*at, mean_M[::-1])[::-1]
            for error, mean_M in zip(TP_METRICS, means_M5.T, strict=True)
        }
        precision = np.interp(recall, reached, precision, right=0)
        return DetectionMetricData(recall=recall, precision=precision, confidence=confidence, **errors)


def _running_means(error_M5: Array) -> Array:
    """Mean of the defined errors up to each match; 1 everywhere for an error that none defines."""
    defined = ~np.isnan(error_M5)
    count = np.cumsum(defined, axis=0)
    means = np.divide(np.nancumsum(error_M5, axis=0), count, out=np.zeros_like(error_M5), where=count != 0)
    means[:, ~defined.any(axis=0)] = 1
    return means


def largest_difference(first: Figures, second: Figures) -> float:
    """Largest difference between any two figures or points of curves; infinite where one alone is NaN."""
    (scores, details), (other_scores, other_details) = first, second
    differences = [_difference(scores.serialize(), other_scores.serialize())]
    differences.append(_difference(details.serialize(), other_details.serialize()))
    return max(differences)


def _difference(first: Any, second: Any) -> float:
    if isinstance(first, dict):
        if first.keys() != second.keys():
            return math.inf
        # the devkit records how long it took
        return max((_difference(first[key], second[key]) for key in first if key != "eval_time"), default=0.0)
    if isinstance(first, str):
        return 0.0 if first == second else math.inf
    one, other = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if one.shape != other.shape or (np.isnan(one) != np.isnan(other)).any():
        return math.inf
    return float(np.nan_to_num(np.abs(one - other), nan=0.0).max(initial=0.0))
