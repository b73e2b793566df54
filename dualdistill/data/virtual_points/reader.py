"""Clouds with virtual points, the input of the teacher mvp: 17 columns once the age of a sweep is appended.

    real     x y z intensity   1 for each class, 1   flag  1   age
    painted  x y z intensity   one-hot class, score  flag  0   age   a real point in a mask, repeated
    virtual  x y z -1          one-hot class, score  flag -1   age   a pixel of a mask, lifted

That is the layout of the published teacher (Yin et al., NeurIPS 2021). On disk a cloud has a float32 .npy
[., 6] under its path: x, y, z, intensity (-1 marks a virtual point), class, score, in the frame of the cloud.
virtual.json is written last: without it the points are incomplete.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from dualdistill.config.nuscenes import CLASSES
from dualdistill.data.batch import FLAG, VIRTUAL
from dualdistill.data.index import Index
from dualdistill.data.sensor_files import Points
from dualdistill.errors import DataError
from dualdistill.store.files import read_json

SCHEMA = 1
MANIFEST = "virtual.json"
ROW = 6  # columns on disk
VIRTUAL_INTENSITY = -1.0


class VirtualClouds:
    """A reader that adds painted and virtual points to the clouds of another reader."""

    def __init__(self, folder: Path, index: Index, cloud: Callable[[int], Points]) -> None:
        self.folder, self.index, self._real = folder, index, cloud
        hint = "run the rule that makes the virtual points"
        if not (folder / MANIFEST).exists():
            raise DataError("the virtual points were never finished", where=str(folder), hint=hint)
        manifest = read_json(folder / MANIFEST)
        if manifest.get("schema") != SCHEMA or manifest.get("index_sha") != index.sha:
            what = "the virtual points belong to another index or version"
            raise DataError(what, where=str(folder / MANIFEST), hint=f"delete the folder and {hint}")

    def cloud(self, record: int) -> Points:
        """Real, painted and virtual points [P, 16], without the age."""
        return with_virtual(self._real(record), self._added(record))

    def _added(self, record: int) -> Points:
        path = cloud_path(self.folder, self.index, record)
        try:
            added_V6 = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise self._damaged(record, path, "are missing or damaged") from error
        if added_V6.ndim != 2 or added_V6.shape[1] != ROW or not np.isfinite(added_V6).all():
            raise self._damaged(record, path, "are damaged")
        return np.asarray(added_V6, dtype=np.float32)

    def _damaged(self, record: int, path: Path, what: str) -> DataError:
        what = f"the virtual points {what} ({self.index.describe(record)})"
        return DataError(what, where=str(path), hint="delete virtual.json and rerun the rule that makes it")


def cloud_path(folder: Path, index: Index, record: int) -> Path:
    """File of the points added to a cloud."""
    return folder / f"{index.path(record)}.npy"


def with_virtual(real_P4: Points, added_V6: Points) -> Points:
    """Join real and added points in the first 16 of the 17 columns."""
    points = np.ones((len(real_P4) + len(added_V6), FLAG + 1), dtype=np.float32)
    points[: len(real_P4), :4] = real_P4
    added = points[len(real_P4) :]
    added[:, :4] = added_V6[:, :4]
    added[:, 4:FLAG] = np.hstack([np.eye(len(CLASSES))[added_V6[:, 4].astype(int)], added_V6[:, 5:]])
    added[:, FLAG] = np.where(added_V6[:, 3] == VIRTUAL_INTENSITY, VIRTUAL, 0.0)
    return points
