"""Cache of decoded images and clouds as memory-mapped arrays, so that training decodes nothing.

images_<H>x<W>.npy is uint8 [rows, H, W, 3], one file per image size; points.npy is float32 [P, 4]. Row
numbers follow from the index, so the bytes do not depend on the number of workers. cache.json is written
last: a folder without it is not a cache. Meant for the synthetic world; full-size nuScenes would take
terabytes, and is decoded on the fly or resized once (small_images.py).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualdistill.data import worker_pool
from dualdistill.data.index import LIDAR_COLUMN, Index
from dualdistill.data.sensor_files import POINT_BYTES, Pixels, Points, SensorFiles
from dualdistill.errors import DataError, DiskError
from dualdistill.store.files import read_json, sha256_file, write_json
from dualdistill.store.progress import track

SCHEMA = 1
MANIFEST = "cache.json"
POINTS = "points.npy"
CHUNK = 64  # records a worker takes at a time

Shape = tuple[int, ...]


class Layout:
    """Array and row of every record, computed from the index."""

    def __init__(self, index: Index) -> None:
        lidar = index.record_channel == LIDAR_COLUMN
        self.row = np.zeros(len(lidar), dtype=np.int64)  # of an image in its file
        self.shapes: dict[str, tuple[Shape, type]] = {}
        sizes = np.stack([index.record_height, index.record_width], axis=1)
        for height, width in np.unique(sizes[~lidar], axis=0):
            same = np.flatnonzero(~lidar & (sizes == (height, width)).all(axis=1))
            self.row[same] = np.arange(len(same))
            self.shapes[image_file(height, width)] = ((len(same), int(height), int(width), 3), np.uint8)
        points = np.where(lidar, index.record_bytes // POINT_BYTES, 0)
        self.first_point = np.concatenate([[0], np.cumsum(points)])
        self.shapes[POINTS] = ((int(self.first_point[-1]), 4), np.float32)


def image_file(height: int, width: int) -> str:
    return f"images_{height}x{width}.npy"


class Cache:
    """Reader of records from a finished cache of this very index; each process maps the arrays itself."""

    def __init__(self, folder: Path, index: Index) -> None:
        self.folder, self.index = folder, index
        self.layout = Layout(index)
        self.manifest = _checked_manifest(folder, index)
        self._arrays: dict[str, NDArray[Any]] = {}

    def image(self, record: int) -> Pixels:
        """An RGB image [H, W, 3]."""
        name = image_file(self.index.record_height[record], self.index.record_width[record])
        return np.asarray(self._array(name)[self.layout.row[record]])

    def cloud(self, record: int) -> Points:
        """Points [P, 4]: x, y, z in the frame of the LiDAR, intensity 0..255."""
        first, last = self.layout.first_point[record : record + 2]
        return np.asarray(self._array(POINTS)[first:last])

    def verify(self) -> None:
        """Compare the hash of every array, which finds damage that sizes do not show."""
        for name, expected in self.manifest["sha256"].items():
            if sha256_file(self.folder / name) != expected:
                where = str(self.folder / name)
                raise DataError("the cached array is damaged", where=where, hint="delete the cache and rerun")

    def _array(self, name: str) -> NDArray[Any]:
        if name not in self._arrays:
            self._arrays[name] = np.load(self.folder / name, mmap_mode="r")
        return self._arrays[name]

    def __getstate__(self) -> dict[str, Any]:
        # pickling a mapped array for a loader process would copy the whole file
        return {**self.__dict__, "_arrays": {}}


def _checked_manifest(folder: Path, index: Index) -> dict[str, Any]:
    hint = "delete the cache and rerun the rule that makes it"
    path = folder / MANIFEST
    if not path.exists():
        raise DataError("the cache was never finished", where=str(folder), hint=hint)
    manifest = read_json(path)
    if manifest.get("schema") != SCHEMA:
        what = f"the cache has schema {manifest.get('schema')} and this suite reads {SCHEMA}"
        raise DataError(what, where=str(path), hint=hint)
    if manifest["index_sha"] != index.sha:
        raise DataError("the cache belongs to another index", where=str(path), hint=hint)
    for name, size in manifest["bytes"].items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != size:
            raise DataError("the cached array is missing or has another size", where=str(file), hint=hint)
    return dict(manifest)


def build(index: Index, root: Path, out: Path, *, workers: int = 1, state: Path | None = None) -> None:
    """Decode every record of the index into `out`; the manifest comes last. The progress goes to `state`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    shapes = Layout(index).shapes
    for name, (shape, kind) in shapes.items():
        _reserve(out / name, shape, kind)
    records = len(index.record_path)
    done = worker_pool.results(_Filler, (index, root, out), range(0, records, CHUNK), workers)
    for _ in track(done, records, "images and clouds decoded", folder=state, each=CHUNK):
        pass
    manifest = {
        "schema": SCHEMA,
        "index_sha": index.sha,
        "bytes": {name: (out / name).stat().st_size for name in shapes},
        "sha256": {name: sha256_file(out / name) for name in shapes},
    }
    write_json(out / MANIFEST, manifest)


def _reserve(path: Path, shape: Shape, kind: type) -> None:
    """Create an array file with all of its blocks allocated."""
    # on a full disk this raises; writing to a mapped hole would end in a bus error
    with _disk_errors(path):
        path.unlink(missing_ok=True)
        array = np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)
        del array
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"cannot write the cache: {os.strerror(error.errno or 0)}"
        raise DiskError(what, where=str(path), hint="free space or switch the cache off") from error


class _Filler:
    """Writer of records to their rows; one per process."""

    def __init__(self, index: Index, root: Path, out: Path) -> None:
        self.index, self.files, self.layout = index, SensorFiles(index, root), Layout(index)
        self.arrays = {name: np.load(out / name, mmap_mode="r+") for name in self.layout.shapes}

    def __call__(self, start: int) -> None:
        for record in range(start, min(start + CHUNK, len(self.index.record_path))):
            if self.index.record_channel[record] == LIDAR_COLUMN:
                first, last = self.layout.first_point[record : record + 2]
                self.arrays[POINTS][first:last] = self.files.cloud(record)
            else:
                image = self.files.image(record)
                self.arrays[image_file(*image.shape[:2])][self.layout.row[record]] = image
        for array in self.arrays.values():
            array.flush()
