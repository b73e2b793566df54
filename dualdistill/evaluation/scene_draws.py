"""The official mAP over many draws of scenes, in the time of a few evaluations.

`ExactEvaluation.figures` repeats a prediction as often as its sample counts. Here it gets that weight, and
precision is computed at the recalls alone that the average takes.
Axes: B draws, P predictions of a class by falling score, M those of them that match, R recalls, C classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from nuscenes.eval.detection.data_classes import DetectionConfig, DetectionMetricData

from dualdistill.config.nuscenes import CLASSES
from dualdistill.data.columns import Integers
from dualdistill.data.geometry import Array
from dualdistill.data.scene_draws import SceneDraws, draw_scenes
from dualdistill.evaluation.matching import Matches

AT_ONCE = 1_000_000  # weights of predictions that stay in the processor's cache


def of_matches(matches: Matches, config: DetectionConfig) -> SceneDraws:
    """A run's mAP over all scenes and over the draws that all runs share."""
    times_BS, draws_sha = draw_scenes(matches.scene_name)
    everything = np.ones((1, len(matches.scene_name)), dtype=np.int32)
    return SceneDraws(
        draws_sha=np.array(draws_sha.encode()),
        matches_sha=np.array(matches.sha.encode()),
        scenes=np.array(len(matches.scene_name)),
        mean_ap=mean_ap(matches, config, everything)[0],
        mean_ap_B=mean_ap(matches, config, times_BS),
    )


def mean_ap(matches: Matches, config: DetectionConfig, times_BS: Integers) -> Array:
    """The mAP of every draw, where scene s counts times_BS[b, s] times."""
    order = np.argsort(matches.score, kind="stable")[::-1]
    scene = matches.sample_scene[matches.sample[order]]
    boxes_SC = np.zeros((times_BS.shape[1], len(CLASSES)), dtype=np.int64)
    np.add.at(boxes_SC, matches.sample_scene, matches.ground_truth_SC)
    mean_dist_ap_CB = []
    for label in map(CLASSES.index, config.class_names):
        of_class = matches.label[order] == label
        pair_DP, scene_P = matches.pair_DP[:, order[of_class]], scene[of_class]
        chunk = max(1, AT_ONCE // max(1, len(scene_P)))
        parts = np.array_split(times_BS, range(chunk, len(times_BS), chunk))
        ap_BD = [
            _average_precision(part, boxes_SC[:, label], scene_P, pair_DP >= 0, config) for part in parts
        ]
        mean_dist_ap_CB.append(np.concatenate(ap_BD).mean(axis=1))
    return np.stack(mean_dist_ap_CB, axis=1).mean(axis=1)


def _average_precision(
    times_BS: Integers,
    boxes_S: Integers,
    scene_P: Integers,
    matched_DP: NDArray[np.bool_],
    config: DetectionConfig,
) -> Array:
    """AP of a class at every threshold of distance, for some draws [B, D]."""
    boxes_B = times_BS @ boxes_S
    weight_BP = np.take(times_BS, scene_P, axis=1)  # by rows in memory, unlike indexing
    place_BP = np.cumsum(weight_BP, axis=1, dtype=np.int32)
    ap_DB = []
    for matched in matched_DP:
        at = np.flatnonzero(matched)
        if not len(at):
            ap_DB.append(np.zeros(len(times_BS)))
            continue
        weight_BM, place_BM = (np.take(by_P, at, axis=1) for by_P in (weight_BP, place_BP))
        precision_BR = _precision(weight_BM, place_BM, place_BP[:, -1], boxes_B, config)
        clipped = np.maximum(precision_BR - config.min_precision, 0)
        ap_DB.append(clipped.mean(axis=1) / (1.0 - config.min_precision))
    return np.stack(ap_DB, axis=1)


def _precision(
    weight_BM: Integers, place_BM: Integers, last_B: Integers, boxes_B: Integers, config: DetectionConfig
) -> Array:
    """Precision at the recalls that AP averages, interpolated as numpy.interp does between predictions."""
    recall_R = np.linspace(0, 1, DetectionMetricData.nelem)[round(100 * config.min_recall) + 1 :]
    right_BM = np.cumsum(weight_BM, axis=1, dtype=np.int64)
    total_B1, boxes_B1 = right_BM[:, -1:], np.maximum(boxes_B, 1).astype(np.float64)[:, None]
    # true positives of the last prediction at or below each recall, compared as the rounded quotients are
    before = np.floor(recall_R * boxes_B1).astype(np.int64) + 1
    for _ in range(2):
        before = np.where(before / boxes_B1 > recall_R, before - 1, before)
    before = np.minimum(before, total_B1)
    place = _place(right_BM, place_BM, np.minimum(before + 1, total_B1))
    left, right = before / boxes_B1, (before + 1) / boxes_B1
    lower = np.divide(before, place - 1, out=np.ones(place.shape), where=place > 1)
    upper = (before + 1) / np.maximum(place, 1)
    precision = (upper - lower) / (right - left) * (recall_R - left) + lower
    # below the first prediction's recall its precision holds; there is none beyond the last one's
    precision = np.where(place > 1, precision, upper)
    beyond = before == total_B1
    at_last = beyond & (left == recall_R)
    precision = np.where(beyond, np.where(at_last, before / np.maximum(last_B, 1)[:, None], 0.0), precision)
    return np.where((boxes_B[:, None] > 0) & (total_B1 > 0), precision, 0.0)


def _place(right_BM: Integers, place_BM: Integers, wanted_BR: Integers) -> Integers:
    """Place, from 1, of a draw's n-th true positive among its predictions, for each wanted n."""
    apart = (int(right_BM[:, -1].max()) + 1) * np.arange(len(right_BM))[:, None]
    at = np.searchsorted((right_BM + apart).ravel(), (np.maximum(wanted_BR, 1) + apart).ravel())
    at = np.minimum(at, right_BM.size - 1).reshape(wanted_BR.shape)
    last, past = place_BM.ravel()[at], right_BM.ravel()[at] - wanted_BR
    return np.asarray(last - past)
