"""Mask AP as COCO defines it: precision over 101 recalls, overlaps from 0.5 to 0.95, the mean over classes.

Lin et al., Microsoft COCO, ECCV 2014, and the evaluation page of its detection challenge. All areas, at most
100 instances per image. Axes: T overlaps, D found, G truth.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from dualdistill.config.nuscenes import CLASSES
from dualdistill.data.masks.provider import Instance, ranked

OVERLAPS_T = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MOST = 100  # instances of an image that count


class MaskAP:
    """Collects images, then says how good the masks were."""

    def __init__(self) -> None:
        self.images = 0
        self.truths = np.zeros(len(CLASSES), dtype=int)
        self.scores: list[list[float]] = [[] for _ in CLASSES]
        self.right_T: list[list[np.ndarray]] = [[] for _ in CLASSES]

    def add(self, truth: Iterable[Instance], found: Iterable[Instance]) -> None:
        """One image."""
        self.images += 1
        truth, best = list(truth), ranked(found)[:MOST]
        for label in range(len(CLASSES)):
            real = [one.mask_HW for one in truth if one.label == label]
            own = [one for one in best if one.label == label]
            self.truths[label] += len(real)
            self.scores[label] += [one.score for one in own]
            self.right_T[label] += list(_match(_overlaps([one.mask_HW for one in own], real)))

    def result(self) -> dict[str, Any]:
        """AP, AP at an overlap of 0.5, and AP by class, in points; classes without a truth count nowhere."""
        by_class_T = {
            name: _average_precision(self.scores[label], self.right_T[label], int(self.truths[label]))
            for label, name in enumerate(CLASSES)
            if self.truths[label]
        }
        found_T = np.mean(list(by_class_T.values()), axis=0) if by_class_T else np.zeros(len(OVERLAPS_T))
        return {
            "images": self.images,
            "instances": int(self.truths.sum()),
            "mask_ap": round(100 * float(found_T.mean()), 2),
            "mask_ap50": round(100 * float(found_T[0]), 2),
            "by_class": {name: round(100 * float(own_T.mean()), 2) for name, own_T in by_class_T.items()},
        }


def _overlaps(found: list[np.ndarray], truth: list[np.ndarray]) -> np.ndarray:
    """Intersection over union, [D, G]."""
    if not found or not truth:
        return np.zeros((len(found), len(truth)))
    found_DP, truth_GP = (np.stack(part).reshape(len(part), -1).astype(np.float32) for part in (found, truth))
    both_DG = found_DP @ truth_GP.T
    return both_DG / (found_DP.sum(1)[:, None] + truth_GP.sum(1) - both_DG)


def _match(overlap_DG: np.ndarray) -> np.ndarray:
    """Who is right, [D, T]: best score first, each takes the truth that fits best and is still free."""
    right_DT = np.zeros((len(overlap_DG), len(OVERLAPS_T)), dtype=bool)
    for t, least in enumerate(OVERLAPS_T):
        left_DG = overlap_DG.copy()
        for d, own_G in enumerate(left_DG):
            if own_G.size and own_G.max() >= least:
                right_DT[d, t] = True
                left_DG[:, own_G.argmax()] = -1
    return right_DT


def _average_precision(scores: list[float], right: list[np.ndarray], truths: int) -> np.ndarray:
    if not scores:
        return np.zeros(len(OVERLAPS_T))
    right_DT = np.array(right)[np.argsort(-np.array(scores), kind="stable")]
    hits_DT = right_DT.cumsum(axis=0)
    precision_DT = hits_DT / np.arange(1, len(right_DT) + 1)[:, None]
    # at a recall counts the best precision that any higher recall reaches
    best_DT = np.maximum.accumulate(precision_DT[::-1], axis=0)[::-1]
    found = []
    for t in range(len(OVERLAPS_T)):
        place = np.searchsorted(hits_DT[:, t] / truths, RECALLS, side="left")
        found.append(np.append(best_DT[:, t], 0.0)[place].mean())
    return np.array(found)
