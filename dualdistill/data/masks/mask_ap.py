"""Mask AP by pycocotools: over 101 recalls and overlaps from 0.5 to 0.95, mean over classes, all areas.

Lin et al., Microsoft COCO, ECCV 2014.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dualdistill.config.nuscenes import CLASSES
from dualdistill.data.masks.provider import Instance, ranked

MOST = 100  # best-scored instances per class that count in an image


class MaskAP:
    """Predicted and ground-truth masks, collected image by image and then evaluated."""

    def __init__(self) -> None:
        self.images: list[dict[str, int]] = []
        self.ground_truth: list[dict[str, Any]] = []
        self.predicted: list[dict[str, Any]] = []

    def add(self, ground_truth: Iterable[Instance], predicted: Iterable[Instance]) -> None:
        """Add an image."""
        image = len(self.images)
        # COCO looks up the size but does not need it for run-length encoded masks
        self.images.append({"id": image, "height": 0, "width": 0})
        for rows, instances in ((self.ground_truth, ground_truth), (self.predicted, ranked(predicted))):
            # ids start at 1: COCOeval takes 0 for unmatched
            rows += [_annotation(n, image, each) for n, each in enumerate(instances, len(rows) + 1)]

    def result(self) -> dict[str, Any]:
        """AP, AP at an overlap of 0.5, and AP by class, in points, of the classes with ground truth."""
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(self._dataset(self.ground_truth), self._dataset(self.predicted), "segm")
            evaluation.params.maxDets = [MOST]
            evaluation.evaluate()
            evaluation.accumulate()
        # overlaps, recalls, classes, areas (the first is all), numbers of detections
        precision_TRC = evaluation.eval["precision"][:, :, :, 0, 0]
        labels = sorted({row["category_id"] for row in self.ground_truth})
        ap_TC = precision_TRC.mean(axis=1)[:, labels]
        return {
            "images": len(self.images),
            "instances": len(self.ground_truth),
            "mask_ap": _points(ap_TC),
            "mask_ap50": _points(ap_TC[0]),
            "by_class": {CLASSES[label]: _points(ap_T) for label, ap_T in zip(labels, ap_TC.T, strict=True)},
        }

    def _dataset(self, annotations: list[dict[str, Any]]) -> COCO:
        dataset = COCO()
        categories = [{"id": label} for label in range(len(CLASSES))]
        dataset.dataset = {"images": self.images, "categories": categories, "annotations": annotations}
        dataset.createIndex()
        return dataset


def _annotation(number: int, image: int, instance: Instance) -> dict[str, Any]:
    segmentation = rle.encode(np.asfortranarray(instance.mask_HW, dtype=np.uint8))
    return {
        "id": number,
        "image_id": image,
        "category_id": instance.label,
        "segmentation": segmentation,
        "area": int(rle.area(segmentation)),
        "iscrowd": 0,
        "score": instance.score,
    }


def _points(ap: np.ndarray) -> float:
    return round(100 * float(ap.mean()), 2) if ap.size else 0.0
