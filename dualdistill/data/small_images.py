"""Images resized once, for runs that read them at this width (`decode: 880`): JPEG again, in shards.

A shard holds the images of PER_SHARD records: where each begins, then the images one after another. It is
complete or absent, so a build that was killed goes on. images.json, with the hash of every shard, is written
last: without it the folder is incomplete.
"""

from __future__ import annotations

import logging
import math
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dualdistill.config.run_spec import InputSpec
from dualdistill.data import worker_pool
from dualdistill.data.index import LIDAR_COLUMN, Index
from dualdistill.data.sensor_files import Pixels, SensorFiles
from dualdistill.errors import DataError, DiskError, UserError
from dualdistill.store.files import atomic_write, read_json, sha256_file, write_json
from dualdistill.store.progress import track

log = logging.getLogger(__name__)
SCHEMA = 1
MANIFEST = "images.json"
PER_SHARD = 512
QUALITY = 95
BYTES_PER_PIXEL = 0.4  # of such a JPEG; 0.29 on one real key frame


class SmallImages:
    """Reader of a finished folder of this very index."""

    def __init__(self, folder: Path, index: Index, width: int) -> None:
        self.folder, self.index, self.rank = folder, index, ranks(index)
        path, hint = folder / MANIFEST, "delete the folder and rerun the rule that makes it"
        if not path.exists():
            raise DataError("the resized images were never finished", where=str(folder), hint=hint)
        manifest = read_json(path)
        if (manifest.get("schema"), manifest.get("index_sha")) != (SCHEMA, index.sha):
            what = "the resized images belong to another index or version"
            raise DataError(what, where=str(path), hint=hint)
        if manifest["width"] != width:
            what = f"the images are {manifest['width']} pixels wide, not {width}"
            raise DataError(what, where=str(path), hint=hint)

    def image(self, record: int) -> Pixels:
        """An RGB image [h, w, 3]."""
        shard, slot = divmod(int(self.rank[record]), PER_SHARD)
        path = self.folder / shard_name(self.index, shard)
        try:
            with path.open("rb") as stream:
                stream.seek(8 * slot)
                first, end = np.frombuffer(stream.read(16), dtype="<u8").tolist()
                stream.seek(first)
                content = stream.read(end - first)
        except (OSError, ValueError) as error:
            raise _damaged(path) from error
        pixels = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR) if content else None
        if pixels is None or len(content) != end - first:
            raise _damaged(path)
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels), dtype=np.uint8)

    def verify(self) -> None:
        """Compare the hash of every shard, which finds damage that reading does not show."""
        for name, expected in read_json(self.folder / MANIFEST)["sha256"].items():
            if not (self.folder / name).is_file() or sha256_file(self.folder / name) != expected:
                raise _damaged(self.folder / name)


def check_width(index: Index, spec: InputSpec) -> None:
    """Refuse a width below that of the largest image that training needs: it would be enlarged again."""
    assert isinstance(spec.decode, int)
    stored = int(index.record_width.max())
    largest = spec.image_width + max(spec.resize_jitter[1], spec.resize_test) * stored
    if spec.decode < min(largest, stored) - 0.5:
        what = f"images of width {spec.decode} are smaller than the largest that are needed, {largest:.0f}"
        raise UserError(what, where="input.decode", hint=f"input.decode: {math.ceil(largest)}, or fast")


def shard_name(index: Index, number: int) -> str:
    return f"{index.sha[:10]}-{number:05d}.bin"


def ranks(index: Index) -> NDArray[np.int64]:
    """Place of each record among the images; -1 for a cloud."""
    image = index.record_channel != LIDAR_COLUMN
    return np.where(image, np.cumsum(image) - 1, -1)


def build(
    index: Index, root: Path, width: int, out: Path, *, workers: int = 1, state: Path | None = None
) -> None:
    """Write the shards that are missing under `out`; the manifest is written last."""
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    images = np.flatnonzero(index.record_channel != LIDAR_COLUMN)
    shards = range(-(-len(images) // PER_SHARD))
    missing = [shard for shard in shards if not (out / shard_name(index, shard)).exists()]
    log.info("%d of %d shards are finished", len(shards) - len(missing), len(shards))
    _check_disk(index, images, width, out, len(missing) / max(1, len(shards)))
    chunks = [(shard, images[shard * PER_SHARD : (shard + 1) * PER_SHARD].tolist()) for shard in missing]
    done = worker_pool.results(_Resizer, (index, root, width, out), chunks, workers)
    total = sum(len(records) for _, records in chunks)
    for _ in track(done, total, "images resized", folder=state, each=PER_SHARD):
        pass
    names = [shard_name(index, shard) for shard in shards]
    hashes = {name: sha256_file(out / name) for name in names}
    about: dict[str, Any] = {"schema": SCHEMA, "index_sha": index.sha, "width": width, "quality": QUALITY}
    write_json(out / MANIFEST, {**about, "sha256": hashes})


def _check_disk(index: Index, images: NDArray[np.integer], width: int, out: Path, share: float) -> None:
    """State the disk that the missing shards take, and refuse if it is not there."""
    pixels = (float(width) ** 2 * index.record_height[images] / index.record_width[images]).sum()
    needed, free = share * BYTES_PER_PIXEL * float(pixels), shutil.disk_usage(out).free
    log.info("%d images: about %.1f GB to write, %.1f GB free", len(images), needed / 1e9, free / 1e9)
    if needed > free:
        what = f"the resized images need about {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free"
        raise DiskError(what, where=str(out), hint="free space, or input.decode: fast")


class _Resizer:
    """Writer of shards; one per process."""

    def __init__(self, index: Index, root: Path, width: int, out: Path) -> None:
        self.index, self.files, self.width, self.out = index, SensorFiles(index, root), width, out

    def __call__(self, chunk: tuple[int, list[int]]) -> None:
        shard, records = chunk
        contents = [self._resized(record) for record in records]
        ends = 8 * (len(contents) + 1) + np.cumsum([0, *map(len, contents)])
        content = ends.astype("<u8").tobytes() + b"".join(contents)
        atomic_write(self.out / shard_name(self.index, shard), content)

    def _resized(self, record: int) -> bytes:
        pixels_HW3 = self.files.image(record)
        size = (self.width, round(self.width * pixels_HW3.shape[0] / pixels_HW3.shape[1]))
        small = cv2.cvtColor(cv2.resize(pixels_HW3, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
        return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


def _damaged(path: Path) -> DataError:
    hint = "delete it and images.json, and rerun the rule that makes them"
    return DataError("the resized images are missing or damaged", where=str(path), hint=hint)
