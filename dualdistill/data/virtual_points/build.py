"""Build the virtual points of a data set, one file per cloud; clouds that have a complete file are skipped.

The files depend on the index, the masks and the spec alone, not on the number of workers or on interruptions.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from dualdistill.config.nuscenes import CAMERAS
from dualdistill.config.run_spec import VirtualSpec
from dualdistill.data import worker_pool
from dualdistill.data.geometry import inverse
from dualdistill.data.index import LIDAR_COLUMN, Index
from dualdistill.data.masks import open_masks
from dualdistill.data.masks.mask_ap import MaskAP
from dualdistill.data.masks.rendered import RenderedMasks
from dualdistill.data.sensor_files import SensorFiles
from dualdistill.data.virtual_points.lift import CameraView, lift
from dualdistill.data.virtual_points.reader import MANIFEST, ROW, SCHEMA, cloud_path
from dualdistill.seeding import seed_for
from dualdistill.store.files import atomic_write, write_json
from dualdistill.store.progress import track

log = logging.getLogger(__name__)
DETECTED = ("train", "dev", "val")  # the splits that teachers are trained and tested on
CHUNK = 16  # clouds a worker takes at a time


def make(
    index: Index,
    root: Path,
    spec: VirtualSpec,
    masks: Path | None,
    out: Path,
    *,
    workers: int = 1,
    state: Path | None = None,
) -> None:
    """Write the points of every cloud under `out`; the manifest, with the mask AP, is written last."""
    records = clouds(index)
    missing = [record for record in records if not _is_complete(cloud_path(out, index, record))]
    log.info("%d of %d clouds are finished", len(records) - len(missing), len(records))
    chunks = [missing[start : start + CHUNK] for start in range(0, len(missing), CHUNK)]
    done = worker_pool.results(PointWriter, (index, root, spec, masks, out), chunks, workers)
    for _ in track(done, len(missing), "clouds made", folder=state, each=CHUNK):
        pass
    manifest = {"schema": SCHEMA, "index_sha": index.sha, "spec": asdict(spec), "clouds": len(records)}
    write_json(out / MANIFEST, manifest | {"quality": mask_quality(index, root, spec)})


def _is_complete(path: Path) -> bool:
    """Whether a file has the size that its header announces."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False).shape[1:] == (ROW,)
    except (OSError, ValueError, EOFError):
        return False


def clouds(index: Index) -> list[int]:
    """The LiDAR records of every scene that teachers are trained or tested on."""
    wanted = np.isin(index.split_role, [role.encode() for role in DETECTED])
    scenes = np.unique(index.sample_scene[index.sample_in_split[:, wanted].any(axis=1)])
    lidar = index.record_channel == LIDAR_COLUMN
    return [int(record) for record in np.flatnonzero(lidar & np.isin(index.record_scene, scenes))]


def mask_quality(index: Index, root: Path, spec: VirtualSpec) -> dict[str, Any] | None:
    """Mask AP against rendered masks on the dev split's key frames; None for masks from files."""
    if spec.masks == "file":
        return None
    predicted, rendered, mask_ap = open_masks(spec, index, root, None), RenderedMasks(index, root), MaskAP()
    for sample in index.samples("dev"):
        for record in index.sample_key_record[sample, 1:].tolist():
            mask_ap.add(rendered.masks(record), predicted.masks(record))
    result = mask_ap.result()
    log.info("mask AP %.1f on %d images", result["mask_ap"], result["images"])
    return result


class PointWriter:
    """Writer of the virtual points of clouds; one per process."""

    def __init__(self, index: Index, root: Path, spec: VirtualSpec, masks: Path | None, out: Path) -> None:
        self.index, self.spec, self.out = index, spec, out
        self.files, self.masks = SensorFiles(index, root), open_masks(spec, index, root, masks)
        keys = index.sample_key_record
        self.key_images = dict(zip(keys[:, LIDAR_COLUMN].tolist(), keys[:, 1:].tolist(), strict=True))

    def __call__(self, records: list[int]) -> None:
        for record in records:
            content = io.BytesIO()
            np.save(content, self.points(record), allow_pickle=False)
            atomic_write(cloud_path(self.out, self.index, record), content.getvalue())

    def points(self, record: int) -> np.ndarray:
        """Painted and virtual points [., 6] of a cloud."""
        generator = np.random.default_rng(seed_for(0, "virtual", self.index.path(record)))
        views = (self._view(record, image) for image in self._images(record))
        return lift(self.files.cloud(record), views, self.spec.per_mask, generator)

    def _images(self, record: int) -> Iterator[int]:
        """Images of a key frame; for another sweep, those nearest in time within `max_gap_s`."""
        index = self.index
        first = int(np.searchsorted(index.sample_scene, index.record_scene[record]))
        now_us = index.record_timestamp_us[record]
        for n in range(len(CAMERAS)):
            chain = int(index.sample_key_record[first, n + 1])
            nearest = index.nearest_in_chain(chain, float(now_us))
            image = self.key_images[record][n] if record in self.key_images else nearest
            if abs(index.record_timestamp_us[image] - now_us) <= self.spec.max_gap_s * 1e6:
                yield image

    def _view(self, record: int, image: int) -> CameraView:
        index, pose = self.index, self.index.record_sensor_to_global
        size = (int(index.record_height[image]), int(index.record_width[image]))
        camera_from_lidar = inverse(pose[image]) @ pose[record]
        return CameraView(self.masks.masks(image), index.intrinsics(image), camera_from_lidar, size)
