"""Build the database of objects from the training split's frames.

Its content depends on the index, the clouds and the teacher's spec alone, not on the number of workers or on
interruptions: chunks of frames are kept as files until all are there.
"""

from __future__ import annotations

import io
import logging
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualdistill.config.nuscenes import CLASSES
from dualdistill.config.run_spec import RunSpec, TeacherSpec
from dualdistill.data import worker_pool
from dualdistill.data.clouds import teacher_cloud
from dualdistill.data.geometry import Array, points_in_box
from dualdistill.data.index import LIDAR_COLUMN, Index
from dualdistill.data.lidar_sweeps import choose_sweeps, load_sweeps
from dualdistill.data.pasted_objects.reader import MANIFEST, POINTS, ROWS, SCHEMA
from dualdistill.data.sensor_files import Points, SensorFiles
from dualdistill.errors import DataError
from dualdistill.plan.identity import objects_content
from dualdistill.store.files import atomic_write, replacing, sha256_file, write_json
from dualdistill.store.progress import track

log = logging.getLogger(__name__)
MIN_POINTS = 5  # of all sweeps, virtual ones included; filter_by_min_points of mmdet3d's CenterPoint
CHUNK = 16  # frames a worker takes at a time

PART = ("boxes", "labels", "counts", "points")
# boxes, labels, numbers of points, points
Objects = tuple[Array, NDArray[np.int64], NDArray[np.int64], Points]


def make(
    index: Index,
    root: Path,
    spec: RunSpec,
    virtual: Path | None,
    out: Path,
    *,
    workers: int = 1,
    state: Path | None = None,
) -> None:
    """Write the objects of the training split under `out`; the manifest is written last."""
    assert isinstance(spec.model, TeacherSpec)
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    samples = index.samples(spec.data.train_split)
    starts = range(0, len(samples), CHUNK)
    parts = out / f"parts-{index.sha[:10]}"
    chunks = [(parts / f"{start}.npz", samples[start : start + CHUNK].tolist()) for start in starts]
    missing = [chunk for chunk in chunks if _read_part(chunk[0]) is None]
    log.info("%d of %d parts are finished", len(chunks) - len(missing), len(chunks))
    done = worker_pool.results(ObjectCutter, (index, root, spec, virtual), missing, workers)
    frames = sum(len(part) for _, part in missing)
    for _ in track(done, frames, "frames searched for objects", folder=state, each=CHUNK):
        pass
    boxes_O9, labels_O, counts_O = _join(out, [part for part, _ in chunks])
    content = io.BytesIO()
    first_O = np.concatenate([[0], np.cumsum(counts_O)])
    np.savez_compressed(content, boxes=boxes_O9, labels=labels_O, first_point=first_O)
    atomic_write(out / ROWS, content.getvalue())
    classes = dict(zip(CLASSES, np.bincount(labels_O, minlength=len(CLASSES)).tolist(), strict=True))
    log.info("%d objects with %d points", len(labels_O), first_O[-1])
    manifest = {
        "schema": SCHEMA,
        "index_sha": index.sha,
        "spec": objects_content(spec),
        "columns": spec.model.columns,
        "objects": classes,
        "points": int(first_O[-1]),
        "sha256": {name: sha256_file(out / name) for name in (ROWS, POINTS)},
    }
    write_json(out / MANIFEST, manifest)
    for made in out.glob("parts-*"):
        shutil.rmtree(made)


def _join(out: Path, parts: list[Path]) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
    """Write the points of all parts to a file; return boxes, labels and numbers of points of all objects."""
    rows: list[tuple[Any, ...]] = []
    with replacing(out / POINTS) as temporary, temporary.open("wb") as stream:
        for path in parts:
            part = _read_part(path)
            if part is None:
                raise DataError("a part is damaged", where=str(path), hint="the same command makes it again")
            *row, points_PI = part
            rows.append(tuple(row))
            stream.write(points_PI.astype("<f4").tobytes())
    boxes_O9, labels_O, counts_O = (np.concatenate(columns) for columns in zip(*rows, strict=True))
    return boxes_O9, labels_O, counts_O


def _write_part(path: Path, objects: Objects) -> None:
    content = io.BytesIO()
    columns: dict[str, Any] = dict(zip(PART, objects, strict=True))
    np.savez(content, **columns)
    atomic_write(path, content.getvalue())


def _read_part(path: Path) -> Objects | None:
    """The objects of a chunk of frames; None where they are missing or do not fit their checksum."""
    try:
        with np.load(path, allow_pickle=False) as part:
            boxes_O9, labels_O, counts_O, points_PI = (part[name] for name in PART)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return boxes_O9, labels_O, counts_O, points_PI


class ObjectCutter:
    """Cutter of the objects out of the clouds of key frames; one per process."""

    def __init__(self, index: Index, root: Path, spec: RunSpec, virtual: Path | None) -> None:
        assert isinstance(spec.model, TeacherSpec)
        self.index, self.sweeps, self.columns = index, spec.input.sweeps, spec.model.columns
        files = SensorFiles(index, root)
        self.cloud: Callable[[int], Points] = teacher_cloud(files, files, spec, virtual)

    def __call__(self, chunk: tuple[Path, list[int]]) -> None:
        path, samples = chunk
        _write_part(path, self.cut(samples))

    def cut(self, samples: list[int]) -> Objects:
        """The objects of samples with enough points, in the order of their annotations."""
        cut = [row for sample in samples for row in self._of_sample(sample)]
        points = [points_PI for _, _, points_PI in cut]
        return (
            np.array([box_9 for box_9, _, _ in cut]).reshape(-1, 9),
            np.array([label for _, label, _ in cut], dtype=np.int64),
            np.array([len(points_PI) for points_PI in points], dtype=np.int64),
            np.concatenate([np.zeros((0, self.columns), dtype=np.float32), *points]),
        )

    def _of_sample(self, sample: int) -> list[tuple[Array, int, Points]]:
        index = self.index
        key, rows = int(index.sample_key_record[sample, LIDAR_COLUMN]), index.annotations(sample)
        # one sweep more than in training: create_groundtruth_database of mmdet3d takes all ten earlier ones
        points_PI = load_sweeps(index, choose_sweeps(index, key, self.sweeps + 1), self.cloud)
        valid = index.has_points()[rows]
        found = []
        for box_9, label in zip(index.boxes(sample)[valid], index.annotation_label[rows][valid], strict=True):
            inside = points_in_box(box_9, points_PI[:, :3])
            if inside.sum() >= MIN_POINTS:
                found.append((box_9, int(label), points_PI[inside]))
        return found
