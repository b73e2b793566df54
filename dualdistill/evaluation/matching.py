"""One pass of matching between predictions and ground truth, as the official evaluation matches them.

A prediction takes the nearest free ground-truth box of its class in its sample, best score first, if their
centres are less than a threshold apart on the ground. So only pairs within the largest threshold matter:
they are found for many samples at once, and the greedy walk over them is short. Matching knows no other
sample, so that stored matches give the figures of any subset of samples.

Axes: P predictions after the official filters, in the devkit's order; S samples; C classes; D thresholds of
distance; M distinct matched pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from nuscenes.eval.detection.constants import TP_METRICS
from nuscenes.eval.detection.data_classes import DetectionConfig
from nuscenes.utils.data_classes import Box
from nuscenes.utils.geometry_utils import points_in_box
from pyquaternion import Quaternion

from dualdistill.config.nuscenes import CLASSES
from dualdistill.data.annotations import NO_ATTRIBUTE
from dualdistill.data.columns import Columns, Integers, Strings
from dualdistill.data.geometry import Array
from dualdistill.data.ground_truth import GroundTruth
from dualdistill.evaluation.predictions import Predictions

PAIRS = 4_000_000  # pairs of a class and sample that are compared at a time
CLOSE_M = 1e-9  # distances nearer to each other than this are computed again, as the devkit computes them
IN_RACKS = [CLASSES.index(name) for name in ("bicycle", "motorcycle")]
BARRIER = CLASSES.index("barrier")


@dataclass(frozen=True, eq=False)
class Matches(Columns):
    """Pairs of predictions and ground-truth boxes at every threshold, with their errors."""

    SCHEMA, NOUN, HINT = 1, "file of matches", "evaluate the run again"

    scene_name: Strings
    sample_token: Strings
    sample_scene: Integers  # into scene_name
    ground_truth_SC: Integers  # number of boxes
    sample: Integers  # [P]
    label: Integers  # [P], into CLASSES
    score: Array  # [P]
    pair_DP: Integers  # the pair of a prediction that matches, -1 for one that does not
    error_M5: Array  # in the order of TP_METRICS, NaN where the ground truth does not define it

    def samples_of(self, scenes: list[str]) -> NDArray[np.bool_]:
        """Mask of the samples of some scenes."""
        chosen = np.isin(self.scene_name, [name.encode() for name in scenes])
        return np.asarray(chosen[self.sample_scene])


class Boxes(NamedTuple):
    """Predicted or annotated boxes."""

    sample: Integers
    label: Integers
    attribute: Integers
    centre: Array
    size_wlh: Array
    wxyz: Array
    velocity: Array

    def take(self, rows: NDArray[np.generic]) -> Boxes:
        return Boxes(*(column[rows] for column in self))


def match(
    truth: GroundTruth, predictions: Predictions, config: DetectionConfig, *, follow_file: bool
) -> Matches:
    """Filter both sides and match at every threshold of distance.

    The order of samples decides among equal scores. The devkit takes that of the results file for a split of
    nuScenes' (`follow_file`), and that of the sample table for a split of splits.json.
    """
    if not follow_file:
        predictions = predictions.take(np.argsort(predictions.sample, kind="stable"))
    boxes = Boxes(*(getattr(predictions, name) for name in Boxes._fields))
    kept = _in_range(truth, boxes, config) & (np.trunc(predictions.points) != 0)
    kept &= ~_in_racks(truth, boxes, kept)
    boxes, score = boxes.take(kept), predictions.score[kept]
    annotated = Boxes(*(getattr(truth, f"box_{name}") for name in Boxes._fields))
    known = _in_range(truth, annotated, config) & (truth.box_points != 0)
    annotated = annotated.take(known & ~_in_racks(truth, annotated, known))
    shape = (len(truth.sample_token), len(CLASSES))
    counts = np.bincount(_group(annotated), minlength=shape[0] * shape[1]).reshape(shape)
    match_DP = _greedy(boxes, score, annotated, config.dist_ths)
    pair_DP, error_M5 = _pairs(boxes, annotated, match_DP)
    return Matches(
        scene_name=truth.scene_name,
        sample_token=truth.sample_token,
        sample_scene=truth.sample_scene,
        ground_truth_SC=counts.astype(np.int32),
        sample=boxes.sample,
        label=boxes.label,
        score=score,
        pair_DP=pair_DP,
        error_M5=error_M5,
    )


def _group(boxes: Boxes) -> Integers:
    """Number of a box's sample and class."""
    return boxes.sample.astype(np.int64) * len(CLASSES) + boxes.label


def _in_range(truth: GroundTruth, boxes: Boxes, config: DetectionConfig) -> NDArray[np.bool_]:
    offset = boxes.centre[:, :2] - truth.sample_ego[boxes.sample, :2]
    reach = np.array([config.class_range[name] for name in CLASSES], dtype=np.float64)
    return np.asarray(np.sqrt((offset**2).sum(axis=1)) < reach[boxes.label])


def _in_racks(truth: GroundTruth, boxes: Boxes, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Bicycles and motorcycles whose centre lies in a bicycle rack."""
    inside = np.zeros(len(boxes.sample), dtype=bool)
    rows = np.flatnonzero(among & np.isin(boxes.label, IN_RACKS))
    rows = rows[np.argsort(boxes.sample[rows], kind="stable")]
    for rack, sample in enumerate(truth.rack_sample.tolist()):
        first, last = np.searchsorted(boxes.sample[rows], (sample, sample + 1))
        if last > first:
            wxyz = Quaternion(truth.rack_wxyz[rack])
            box = Box(truth.rack_centre[rack], truth.rack_size_wlh[rack], wxyz)
            inside[rows[first:last]] |= points_in_box(box, boxes.centre[rows[first:last]].T)
    return inside


def _greedy(boxes: Boxes, score: Array, annotated: Boxes, thresholds: list[float]) -> Integers:
    """Ground-truth box of every prediction at every threshold, -1 for none [D, P]."""
    match_DP = np.full((len(thresholds), len(score)), -1, dtype=np.int64)
    # the devkit sorts pairs (score, place) and reverses: of equal scores the later place comes first
    turn = np.empty(len(score), dtype=np.int64)
    turn[np.argsort(score, kind="stable")[::-1]] = np.arange(len(score))
    by_group = np.argsort(_group(annotated), kind="stable")
    groups = _group(annotated)[by_group]
    first, last = (np.searchsorted(groups, _group(boxes), side=side) for side in ("left", "right"))
    count = last - first
    # whole samples at a time, because a ground-truth box must meet all of its predictions together
    filled = np.cumsum(np.bincount(boxes.sample, weights=count))
    chunk = (filled // PAIRS)[boxes.sample]
    for number in np.unique(chunk):
        rows = np.flatnonzero(chunk == number)
        pair = np.repeat(rows, count[rows])
        step = np.arange(len(pair)) - np.repeat(np.cumsum(count[rows]) - count[rows], count[rows])
        near = _near(boxes, annotated, pair, by_group[first[pair] + step], turn, thresholds)
        for place, threshold in enumerate(thresholds):
            within = near.distance < threshold
            _take_nearest(near.prediction[within], near.annotated[within], match_DP[place])
    return match_DP


class Near(NamedTuple):
    """Pairs within the largest threshold: by turn of the prediction, then by distance, then by place."""

    prediction: Integers
    annotated: Integers
    distance: Array


def _near(
    boxes: Boxes, annotated: Boxes, pair: Integers, other: Integers, turn: Integers, thresholds: list[float]
) -> Near:
    offset = boxes.centre[pair, :2] - annotated.centre[other, :2]
    distance = np.sqrt((offset**2).sum(axis=1))
    kept = distance < max(thresholds) + CLOSE_M
    pair, other, offset, distance = pair[kept], other[kept], offset[kept], distance[kept]
    order = np.lexsort((other, distance, turn[pair]))
    pair, other, offset, distance = pair[order], other[order], offset[order], distance[order]
    close = np.abs(distance[:, None] - np.array(thresholds)).min(axis=1, initial=np.inf) < CLOSE_M
    alike = np.flatnonzero((np.diff(distance) < CLOSE_M) & (np.diff(pair) == 0))
    close[alike] = close[alike + 1] = True
    for row in np.flatnonzero(close).tolist():
        # the last bit decides here, and BLAS rounds the sum of squares once where numpy rounds twice
        distance[row] = np.linalg.norm(offset[row])
    order = np.lexsort((other, distance, turn[pair]))
    return Near(pair[order], other[order], distance[order])


def _take_nearest(pair: Integers, other: Integers, match_P: Integers) -> None:
    """Give each prediction in turn its nearest free box."""
    taken: set[int] = set()
    done = -1
    for prediction, box in zip(pair.tolist(), other.tolist(), strict=True):
        if prediction != done and box not in taken:
            taken.add(box)
            match_P[prediction] = box
            done = prediction


def _pairs(boxes: Boxes, annotated: Boxes, match_DP: Integers) -> tuple[Integers, Array]:
    """Distinct pairs of all thresholds with their errors, and each prediction's place among them."""
    matched = match_DP >= 0
    key_DP = np.arange(match_DP.shape[1]) * len(annotated.sample) + match_DP
    keys, place = np.unique(key_DP[matched], return_inverse=True)
    pair_DP = np.full(match_DP.shape, -1, dtype=np.int32)
    pair_DP[matched] = place
    prediction, other = np.divmod(keys, max(len(annotated.sample), 1))
    return pair_DP, _errors(boxes.take(prediction), annotated.take(other))


def _errors(predicted: Boxes, annotated: Boxes) -> Array:
    """Errors of matched pairs [M, 5], by the formulas of the devkit."""
    common = np.minimum(predicted.size_wlh, annotated.size_wlh).prod(axis=1)
    union = predicted.size_wlh.prod(axis=1) + annotated.size_wlh.prod(axis=1) - common
    # a barrier has no front
    period = np.where(annotated.label == BARRIER, np.pi, 2 * np.pi)
    turn = (_yaw(annotated.wxyz) - _yaw(predicted.wxyz) + period / 2) % period - period / 2
    wrong = (predicted.attribute != annotated.attribute).astype(np.float64)
    errors = {
        "trans_err": np.linalg.norm(predicted.centre[:, :2] - annotated.centre[:, :2], axis=1),
        "scale_err": 1 - common / union,
        "orient_err": np.abs(turn),
        "vel_err": np.linalg.norm(predicted.velocity - annotated.velocity, axis=1),
        "attr_err": np.where(annotated.attribute == NO_ATTRIBUTE, np.nan, wrong),
    }
    return np.stack([errors[name] for name in TP_METRICS], axis=1)


def _yaw(wxyz_M4: Array) -> Array:
    w, x, y, z = (wxyz_M4 / np.linalg.norm(wxyz_M4, axis=1, keepdims=True)).T
    return np.asarray(np.arctan2(2 * (x * y + w * z), w * w + x * x - y * y - z * z))
