"""The database of objects: boxes and points cut from the training frames, each in the LIDAR_TOP of its frame.

objects.npz has a row per object, points.bin the float32 points of all objects one after another, with the
columns of load_sweeps. objects.json is written last: without it the database is incomplete.
Axes: O objects, P points, I columns of a point.
"""

from __future__ import annotations

import zipfile
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualdistill.config.nuscenes import CLASSES
from dualdistill.data.geometry import Array
from dualdistill.data.index import Index
from dualdistill.data.sensor_files import Points
from dualdistill.errors import DataError
from dualdistill.store.files import read_json, sha256_file

SCHEMA = 1
MANIFEST, ROWS, POINTS = "objects.json", "objects.npz", "points.bin"


class ObjectDatabase:
    """Reader of a finished database of this very index; each process maps the points itself."""

    boxes_O9: Array
    labels_O: NDArray[np.int64]
    first_O: NDArray[np.int64]  # first point of each object, and the number of points

    def __init__(self, folder: Path, index: Index) -> None:
        self.folder = folder
        manifest = _checked_manifest(folder, index)
        self.columns = int(manifest["columns"])
        try:
            with np.load(folder / ROWS, allow_pickle=False) as rows:
                self.boxes_O9, self.labels_O, self.first_O = (
                    rows["boxes"],
                    rows["labels"],
                    rows["first_point"],
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise _damaged(folder / ROWS) from error
        self.of_class = [np.flatnonzero(self.labels_O == label) for label in range(len(CLASSES))]

    def points(self, number: int) -> Points:
        """The points [P, I] of an object."""
        return np.asarray(self._points_PI[self.first_O[number] : self.first_O[number + 1]])

    def verify(self) -> None:
        """Compare the hash of the points, which finds damage that their size does not show."""
        if sha256_file(self.folder / POINTS) != read_json(self.folder / MANIFEST)["sha256"][POINTS]:
            raise _damaged(self.folder / POINTS)

    @cached_property
    def _points_PI(self) -> Points:
        shape = (int(self.first_O[-1]), self.columns)
        if shape[0] == 0:
            return np.zeros(shape, dtype=np.float32)  # an empty file cannot be mapped
        return np.memmap(self.folder / POINTS, dtype="<f4", mode="r", shape=shape)

    def __getstate__(self) -> dict[str, Any]:
        # pickling the mapped points for a loader process would copy the whole file
        return {name: value for name, value in self.__dict__.items() if name != "_points_PI"}


def _checked_manifest(folder: Path, index: Index) -> dict[str, Any]:
    hint = "delete the folder and rerun the rule that makes it"
    path = folder / MANIFEST
    if not path.exists():
        raise DataError("the objects to paste were never finished", where=str(folder), hint=hint)
    manifest = read_json(path)
    if manifest.get("schema") != SCHEMA or manifest.get("index_sha") != index.sha:
        raise DataError("the objects to paste belong to another index or version", where=str(path), hint=hint)
    if not (folder / ROWS).is_file() or sha256_file(folder / ROWS) != manifest["sha256"][ROWS]:
        raise _damaged(folder / ROWS)
    points = folder / POINTS
    if not points.is_file() or points.stat().st_size != 4 * manifest["columns"] * manifest["points"]:
        raise _damaged(points)
    return dict(manifest)


def _damaged(path: Path) -> DataError:
    hint = "delete objects.json and rerun the rule that makes it"
    return DataError("the objects to paste are missing or damaged", where=str(path), hint=hint)
