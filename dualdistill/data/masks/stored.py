"""Masks computed by another program: one .npz per image, without pickles.

<folder>/<the image's path in the data set>.npz holds labels [M] into CLASSES, scores [M] from 0 to 1 and
masks [M, H, W] of zeros and ones, at the stored image's size.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np

from dualdistill.config.nuscenes import CLASSES
from dualdistill.data.index import Index
from dualdistill.data.masks.provider import Instance
from dualdistill.errors import DataError
from dualdistill.store.files import atomic_write


def write_masks(folder: Path, image: str, instances: list[Instance], size: tuple[int, int]) -> None:
    """Write the instances of an image, which is named by its path in the data set."""
    content = io.BytesIO()
    masks_MHW = np.array([instance.mask_HW for instance in instances], dtype=np.uint8).reshape(-1, *size)
    labels_M = np.array([instance.label for instance in instances], dtype=np.int64)
    scores_M = np.array([instance.score for instance in instances], dtype=np.float32)
    np.savez_compressed(content, labels=labels_M, scores=scores_M, masks=masks_MHW)
    atomic_write(folder / f"{image}.npz", content.getvalue())


class StoredMasks:
    """A segmenter's output; every image needs a file, with M = 0 if it has no objects."""

    def __init__(self, index: Index, folder: Path) -> None:
        self.index, self.folder = index, folder

    def masks(self, record: int) -> list[Instance]:
        """Instances in the image's file; empty masks are dropped, as published."""
        path = self.folder / f"{self.index.path(record)}.npz"
        try:
            with np.load(path, allow_pickle=False) as stored:
                labels_M, scores_M, masks_MHW = (stored[name] for name in ("labels", "scores", "masks"))
        except FileNotFoundError as error:
            raise self._damaged(record, path, "the image has no masks") from error
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise self._damaged(record, path, f"the masks cannot be read: {error}") from error
        size = (int(self.index.record_height[record]), int(self.index.record_width[record]))
        if masks_MHW.shape != (len(labels_M), *size) or scores_M.shape != labels_M.shape:
            what = f"masks {masks_MHW.shape}, labels {labels_M.shape} and scores {scores_M.shape} do not fit"
            raise self._damaged(record, path, f"{what} an image of {size[0]} x {size[1]} pixels")
        if not (np.isin(labels_M, range(len(CLASSES))).all() and ((scores_M >= 0) & (scores_M <= 1)).all()):
            raise self._damaged(
                record, path, f"labels go from 0 to {len(CLASSES) - 1} and scores from 0 to 1"
            )
        return [
            Instance(int(label), float(score), mask_HW.astype(bool))
            for label, score, mask_HW in zip(labels_M, scores_M, masks_MHW, strict=True)
            if mask_HW.any()
        ]

    def _damaged(self, record: int, path: Path, what: str) -> DataError:
        what = f"{what} ({self.index.describe(record)})"
        return DataError(what, where=str(path), hint="the layout is in docs/methods/mvp.md")
