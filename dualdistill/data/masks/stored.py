"""Masks computed by another program: one .npz per image, without pickles.

<folder>/<the image's path in the data set>.npz holds labels [M] into CLASSES, scores [M] from 0 to 1, and the
masks at the stored image's size. Packed: `size`, height and width of the image; `boxes` [M, 4], the part of
each mask that is not empty as left, top, right, bottom; `counts` and `ends`, the run lengths of these parts
in COCO's code (pycocotools), one after another, and the end of each. Or whole, and ten times larger: `masks`
[M, H, W] of zeros and ones.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle

from dualdistill.config.nuscenes import CLASSES
from dualdistill.data.index import Index
from dualdistill.data.masks.provider import Instance, Mask, cut
from dualdistill.errors import DataError
from dualdistill.store.files import atomic_write


def write_masks(folder: Path, image: str, instances: list[Instance], size: tuple[int, int]) -> None:
    """Write the instances of an image, which is named by its path in the data set."""
    content = io.BytesIO()
    parts = [cut(instance.mask_HW) for instance in instances]
    counts = [rle.encode(np.asfortranarray(part, dtype=np.uint8))["counts"] for _, part in parts]
    labels_M = np.array([instance.label for instance in instances], dtype=np.int64)
    scores_M = np.array([instance.score for instance in instances], dtype=np.float32)
    packed: dict[str, Any] = {
        "size": np.array(size),
        "boxes": np.array([box_4 for box_4, _ in parts], dtype=np.int64).reshape(-1, 4),
        "counts": np.frombuffer(b"".join(counts), dtype=np.uint8),
        "ends": np.cumsum([len(each) for each in counts], dtype=np.int64),
    }
    np.savez_compressed(content, labels=labels_M, scores=scores_M, **packed)
    atomic_write(folder / f"{image}.npz", content.getvalue())


def _unpacked(stored: Mapping[str, np.ndarray]) -> list[Mask]:
    """Whole masks from their run lengths."""
    size, counts, ends = stored["size"].tolist(), stored["counts"].tobytes(), stored["ends"].tolist()
    masks = []
    for (first, end), box in zip(pairwise([0, *ends]), stored["boxes"].tolist(), strict=True):
        left, top, right, bottom = box
        runs: Any = {"size": [bottom - top, right - left], "counts": counts[first:end]}
        mask_HW = np.zeros(size, dtype=bool)
        mask_HW[top:bottom, left:right] = rle.decode(runs)
        masks.append(mask_HW)
    return masks


class StoredMasks:
    """A segmenter's output; every image needs a file, with M = 0 if it has no objects."""

    def __init__(self, index: Index, folder: Path) -> None:
        self.index, self.folder = index, folder

    def masks(self, record: int) -> list[Instance]:
        """Instances in the image's file; empty masks are dropped, as published."""
        path = self.folder / f"{self.index.path(record)}.npz"
        try:
            with np.load(path, allow_pickle=False) as stored:
                labels_M, scores_M = stored["labels"], stored["scores"]
                masks = list(stored["masks"]) if "masks" in stored else _unpacked(stored)
        except FileNotFoundError as error:
            raise self._damaged(record, path, "the image has no masks") from error
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise self._damaged(record, path, f"the masks cannot be read: {error}") from error
        size = (int(self.index.record_height[record]), int(self.index.record_width[record]))
        if not (len(masks) == len(labels_M) == len(scores_M)) or any(mask.shape != size for mask in masks):
            shapes = sorted({mask.shape for mask in masks})
            what = (
                f"{len(masks)} masks {shapes}, {len(labels_M)} labels and {len(scores_M)} scores do not fit"
            )
            raise self._damaged(record, path, f"{what} an image of {size[0]} x {size[1]} pixels")
        if not (np.isin(labels_M, range(len(CLASSES))).all() and ((scores_M >= 0) & (scores_M <= 1)).all()):
            raise self._damaged(
                record, path, f"labels go from 0 to {len(CLASSES) - 1} and scores from 0 to 1"
            )
        return [
            Instance(int(label), float(score), mask_HW.astype(bool))
            for label, score, mask_HW in zip(labels_M, scores_M, masks, strict=True)
            if mask_HW.any()
        ]

    def _damaged(self, record: int, path: Path, what: str) -> DataError:
        what = f"{what} ({self.index.describe(record)})"
        return DataError(what, where=str(path), hint="the layout is in docs/methods/mvp.md")
