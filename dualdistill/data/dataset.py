"""Samples of a split as network inputs, and their batches (fields: see batch.py).

Geometry is float64 until the last step. Axes as in batch.py; the fields of one sample lack B.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dualdistill import faults
from dualdistill.config.nuscenes import CAMERAS
from dualdistill.config.run_spec import RunSpec, StudentSpec
from dualdistill.data.augment import Draws, between, bev_affine, image_affine, shrinking, warp
from dualdistill.data.batch import Batch, Instances
from dualdistill.data.cache import Cache
from dualdistill.data.clouds import teacher_cloud
from dualdistill.data.depth_targets import depth_targets, owners, projection
from dualdistill.data.geometry import Array, inverse, move_boxes, move_points
from dualdistill.data.index import LIDAR_COLUMN, Index
from dualdistill.data.lidar_sweeps import choose_sweeps, load_sweeps
from dualdistill.data.masks.provider import MaskProvider, warp_instances
from dualdistill.data.pasted_objects.paste import paste
from dualdistill.data.pasted_objects.reader import ObjectDatabase
from dualdistill.data.previous_frame import choose_previous_frame
from dualdistill.data.sensor_files import Pixels, Points, SensorFiles
from dualdistill.data.small_images import SmallImages, check_width
from dualdistill.data.virtual_points.reader import VirtualClouds
from dualdistill.seeding import seed_for


@dataclass(frozen=True)
class CameraSample:
    """Camera fields of one sample, those of Batch without B."""

    images_FNCHW: Tensor
    intrinsics_FN33: Tensor
    image_affine_FN33: Tensor
    camera_to_lidar_FN44: Tensor
    previous_to_current_44: Tensor
    history_s: float
    depth_Nhw: Tensor | None
    owner_Nhw: Tensor | None
    instances: tuple[Instances, ...] | None


@dataclass(frozen=True)
class Sample:
    """One sample; `cameras` and `points_PI` are None unless requested."""

    token: str
    boxes_K9: Tensor
    labels_K: Tensor
    bev_affine_44: Tensor
    points_PI: Tensor | None
    cameras: CameraSample | None


class FrameDataset(Dataset[Sample]):
    """Samples by (position, draw): a position in the split and a number that selects the augmentation.

    All randomness of a sample comes from (seed, draw, position), so neither the number of loader processes
    nor an interruption changes it; with train=False nothing is random and the draw is ignored.
    """

    def __init__(
        self,
        index: Index,
        root: Path,
        cache: Path | None,
        split: str,
        spec: RunSpec,
        *,
        train: bool,
        images: bool,
        points: bool,
        resized: Path | None = None,
        virtual: Path | None = None,
        objects: Path | None = None,
        masks: MaskProvider | None = None,
    ) -> None:
        self.index, self.spec, self.masks = index, spec, masks
        self.samples = index.samples(split)
        self.train, self.images, self.points = train, images, points
        # of the depth targets; a teacher has none and loads no images
        self.stride = spec.model.feature_stride if isinstance(spec.model, StudentSpec) else 0
        self.files = SensorFiles(index, root)
        self.source: SensorFiles | Cache = self.files if cache is None else Cache(cache, index)
        self.resized: SmallImages | None = None
        if images and isinstance(spec.input.decode, int):
            assert resized is not None  # the plan names the folder
            check_width(index, spec.input)
            self.resized = SmallImages(resized, index, spec.input.decode)
        self.cloud: Callable[[int], Points] = self.source.cloud
        self.depth_cloud: Callable[[int], Points] = self.source.cloud
        if points:
            self.cloud = teacher_cloud(self.files, self.source, spec, virtual)
        self.objects = ObjectDatabase(objects, index) if train and objects else None
        if train and images and spec.input.depth_points == "virtual":
            assert virtual is not None  # the plan refuses a row whose teacher has none
            self.depth_cloud = VirtualClouds(virtual, index, self.source.cloud).cloud
        # OpenCV's own threads do not survive a forked loader process, and an image is too small for them
        cv2.setNumThreads(0)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def repeats(self) -> bool:
        """Whether a sample is the same in every draw."""
        spec, widths = self.spec.input, np.unique(self.index.record_width)
        widths = widths[widths > 0]  # a cloud has none
        crops = (widths * (spec.image_width / widths) > spec.image_width).any()  # by a rounding error at most
        return not (spec.moves_frames or spec.moves_images or crops or self.objects)

    def __getitem__(self, key: int | tuple[int, int]) -> Sample:
        faults.reach("load")
        position, draw = (key, 0) if isinstance(key, int) else key
        return self.get(position, draw)

    def get(self, position: int, draw: int = 0) -> Sample:
        """The sample at a position of the split."""
        sample = int(self.samples[position])
        draws = None
        if self.train:
            draws = Draws.take(np.random.default_rng(seed_for(self.spec.seed, "augment", draw, position)))
        boxes_K9, labels_K = self._boxes(sample)
        points_PI = self._points(sample, draws) if self.points else None
        if self.objects is not None and points_PI is not None:
            generator = np.random.default_rng(seed_for(self.spec.seed, "paste", draw, position))
            boxes_K9, labels_K, points_PI = paste(self.objects, boxes_K9, labels_K, points_PI, generator)
        affine = bev_affine(draws, self.spec.input)
        boxes_K9 = move_boxes(affine, boxes_K9)
        on_grid = (np.abs(boxes_K9[:, :2]) < self.spec.grid.half_extent_m).all(axis=1)
        boxes_K9, labels_K = boxes_K9[on_grid], labels_K[on_grid]
        if points_PI is not None:
            points_PI[:, :3] = move_points(affine, points_PI[:, :3])
        return Sample(
            token=self.index.token(sample),
            boxes_K9=_float32(boxes_K9),
            labels_K=torch.from_numpy(labels_K),
            bev_affine_44=_float32(affine),
            points_PI=None if points_PI is None else torch.from_numpy(points_PI),
            cameras=self._cameras(sample, affine, boxes_K9, draws) if self.images else None,
        )

    def _boxes(self, sample: int) -> tuple[Array, NDArray[np.int64]]:
        """Boxes with at least one LiDAR or radar point."""
        rows = self.index.annotations(sample)
        keep = self.index.has_points()[rows]
        return self.index.boxes(sample)[keep], self.index.annotation_label[rows][keep].astype(np.int64)

    def _points(self, sample: int, draws: Draws | None) -> Points:
        spec, key = self.spec.input, int(self.index.sample_key_record[sample, LIDAR_COLUMN])
        left_out = draws.sweep if draws and spec.random_sweeps else None
        return load_sweeps(self.index, choose_sweeps(self.index, key, spec.sweeps, left_out), self.cloud)

    def _cameras(self, sample: int, affine: Array, boxes_K9: Array, draws: Draws | None) -> CameraSample:
        index, spec = self.index, self.spec.input
        age = spec.history_test_s if draws is None else between(*spec.history_train_s, draws.history)
        history = choose_previous_frame(index, sample, age, spec.scene_start)
        keys = index.sample_key_record[sample]
        pose = index.record_sensor_to_global
        lidar_now, lidar_then = pose[keys[LIDAR_COLUMN]], pose[history.lidar_record]
        records = [tuple(int(key) for key in keys[1:]), history.camera_records]
        sizes = [(int(index.record_height[key]), int(index.record_width[key])) for key in records[0]]
        # both frames of a camera share its augmentation, as published
        image_affines = np.stack([image_affine(draws, n, spec, sizes[n]) for n in range(len(CAMERAS))])
        to_lidar = [affine @ inverse(lidar) for lidar in (lidar_now, lidar_then)]
        camera_to_lidar = np.stack([to_lidar[frame] @ pose[list(records[frame])] for frame in (0, 1)])
        # only training needs depths: testing a student opens no LiDAR file
        depth = self._depth(keys, image_affines, affine, boxes_K9) if self.train else (None, None)
        flat = [record for frame in records for record in frame]
        intrinsics = np.stack([index.intrinsics(record) for record in flat]).reshape(2, len(CAMERAS), 3, 3)
        return CameraSample(
            images_FNCHW=self._images(records, image_affines),
            intrinsics_FN33=_float32(intrinsics),
            image_affine_FN33=_float32(np.stack([image_affines, image_affines])),
            camera_to_lidar_FN44=_float32(camera_to_lidar),
            previous_to_current_44=_float32(affine @ inverse(lidar_now) @ lidar_then @ inverse(affine)),
            history_s=history.age_s,
            depth_Nhw=depth[0],
            owner_Nhw=depth[1],
            instances=self._instances(records[0], image_affines),
        )

    def _images(self, records: list[tuple[int, ...]], image_affines: Array) -> Tensor:
        frames = [
            [self._image(record, image_affines[n]) for n, record in enumerate(frame)] for frame in records
        ]
        # the pixels of an image stay together, as cv2 wrote them: the device rearranges them faster
        return torch.from_numpy(np.array(frames)).movedim(-1, -3)

    def _image(self, record: int, affine_33: Array) -> Pixels:
        size = (self.spec.input.image_height, self.spec.input.image_width)
        if self.spec.input.decode == "exact":
            return warp(self.source.image(record), affine_33, size)
        if self.resized is not None:
            pixels_HW3 = self.resized.image(record)
            stored = (int(self.index.record_height[record]), int(self.index.record_width[record]))
            down, across = (whole / side for whole, side in zip(stored, pixels_HW3.shape, strict=False))
            return warp(pixels_HW3, affine_33 @ np.diag([across, down, 1.0]), size)
        # from the file even where a cache has all pixels: those of a run do not depend on the cache
        pixels_HW3, factor = self.files.shrunk_image(record, max(1, shrinking(affine_33)))
        return warp(pixels_HW3, affine_33 @ np.diag([factor, factor, 1.0]), size)

    def _instances(self, records: tuple[int, ...], image_affines: Array) -> tuple[Instances, ...] | None:
        if self.masks is None:
            return None
        size = (self.spec.input.image_height, self.spec.input.image_width)
        return tuple(
            warp_instances(self.masks.masks(key), image_affines[n], size) for n, key in enumerate(records)
        )

    def _depth(
        self, keys: NDArray[np.integer], image_affines: Array, affine: Array, boxes_K9: Array
    ) -> tuple[Tensor, Tensor]:
        """Depth targets of the current frame, and the boxes that contain their points."""
        index, pose = self.index, self.index.record_sensor_to_global
        projections = [
            projection(
                image_affines[n], index.intrinsics(int(key)), inverse(pose[key]) @ pose[keys[LIDAR_COLUMN]]
            )
            for n, key in enumerate(keys[1:])
        ]
        points_P3 = np.ascontiguousarray(self.depth_cloud(int(keys[LIDAR_COLUMN]))[:, :3])
        size = (self.spec.input.image_height, self.spec.input.image_width)
        depth_Nhw, nearest_Nhw = depth_targets(points_P3, np.stack(projections), size, self.stride)
        owner_Nhw = owners(nearest_Nhw, move_points(affine, points_P3), boxes_K9)
        return torch.from_numpy(depth_Nhw), torch.from_numpy(owner_Nhw)


class KeptSamples(Dataset[Sample]):
    """The samples of a data set that repeats itself, kept in memory once they are loaded."""

    def __init__(self, frames: FrameDataset) -> None:
        self.frames = frames
        self.kept: dict[int, Sample] = {}

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        position, _ = key
        if position not in self.kept:
            self.kept[position] = self.frames[key]
        return self.kept[position]


def _float32(values: Array) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def stacked(images_3HW: list[Tensor]) -> Tensor:
    """Stack images without rearranging their pixels."""
    return torch.stack([image_3HW.movedim(-3, -1) for image_3HW in images_3HW]).movedim(-1, -3)


def collate(samples: list[Sample]) -> Batch:
    """Stack images and matrices; keep boxes and points as tuples."""
    batch = Batch(
        tokens=tuple(sample.token for sample in samples),
        boxes_K9=tuple(sample.boxes_K9 for sample in samples),
        labels_K=tuple(sample.labels_K for sample in samples),
        bev_affine_B44=torch.stack([sample.bev_affine_44 for sample in samples]),
        points_PI=tuple(sample.points_PI for sample in samples if sample.points_PI is not None),
    )
    cameras = [sample.cameras for sample in samples if sample.cameras is not None]
    if not cameras:
        return batch
    depth = [camera.depth_Nhw for camera in cameras if camera.depth_Nhw is not None]
    owner = [camera.owner_Nhw for camera in cameras if camera.owner_Nhw is not None]
    instances = [camera.instances for camera in cameras if camera.instances is not None]
    return replace(
        batch,
        images_BFNCHW=stacked([camera.images_FNCHW for camera in cameras]),
        intrinsics_BFN33=torch.stack([camera.intrinsics_FN33 for camera in cameras]),
        image_affine_BFN33=torch.stack([camera.image_affine_FN33 for camera in cameras]),
        camera_to_lidar_BFN44=torch.stack([camera.camera_to_lidar_FN44 for camera in cameras]),
        previous_to_current_B44=torch.stack([camera.previous_to_current_44 for camera in cameras]),
        history_s_B=torch.tensor([camera.history_s for camera in cameras], dtype=torch.float32),
        depth_BNhw=torch.stack(depth) if depth else None,
        owner_BNhw=torch.stack(owner) if owner else None,
        instances=tuple(instances),
    )
