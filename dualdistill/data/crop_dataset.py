"""Crops for pre-training a backbone: labelled windows around objects and windows of background.

They come from the pre-training scenes alone, which no other stage uses. Axes: C crops, K boxes, H W pixels; a
rectangle is (left, top, right, bottom) in pixels of the stored image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dualdistill.config.nuscenes import BACKGROUND, CAMERAS
from dualdistill.config.run_spec import CropSpec, RunSpec
from dualdistill.data.augment import between, warp
from dualdistill.data.batch import Crops
from dualdistill.data.cache import Cache
from dualdistill.data.dataset import stacked
from dualdistill.data.geometry import Array, corners, inverse, move_points, project
from dualdistill.data.index import LIDAR_COLUMN, Index
from dualdistill.data.sampling import balanced
from dualdistill.data.sensor_files import SensorFiles
from dualdistill.seeding import seed_for

SPLIT = "pretrain"
HELD_OUT = 10  # every tenth scene is left out of training to measure the accuracy
NEAR_M = 0.1  # least depth of a corner; those beside or behind the camera are moved there
INSIDE = 0.5  # least share of a rectangle inside the image
TRIES = 10  # at placing a background window in an image
BACKGROUND_SIDES = (1 / 16, 1 / 2)  # shares of the image height


@dataclass(frozen=True)
class Window:
    """A square of a stored image and its label."""

    sample: int
    record: int
    left: float
    top: float
    side: float
    label: int

    def affine(self, side_px: int, mirrored: bool = False) -> Array:
        """Stored pixel to pixel of the crop."""
        scale = side_px / self.side
        affine_33 = np.array([[scale, 0, -self.left * scale], [0, scale, -self.top * scale], [0, 0, 1]])
        if mirrored:
            affine_33 = np.array([[-1.0, 0, side_px], [0, 1, 0], [0, 0, 1]]) @ affine_33
        return affine_33

    def jittered(self, shares_3: Array, limit: float) -> Window:
        """Shift and grow the window by up to a share of its side; shares lie in [0, 1)."""
        right, down, growth = (between(-limit, limit, share) * self.side for share in shares_3)
        left, top = self.left + right - growth / 2, self.top + down - growth / 2
        return replace(self, left=left, top=top, side=self.side + growth)


@dataclass(frozen=True)
class Crop:
    """One window as network input."""

    token: str
    image_3HW: Tensor
    label: int


class CropDataset(Dataset[Crop]):
    """Windows by (position, draw), like the samples of FrameDataset.

    With train=False it holds the held-out scenes, nothing is random and the draw is ignored.
    """

    def __init__(
        self,
        index: Index,
        root: Path,
        cache: Path | None,
        spec: RunSpec,
        crops: CropSpec,
        *,
        train: bool,
    ) -> None:
        self.index, self.spec, self.crops, self.train = index, spec, crops, train
        samples = index.samples(SPLIT)
        held_out = np.unique(index.sample_scene[samples], return_inverse=True)[1] % HELD_OUT == 0
        chosen = samples[held_out != train]
        self.windows = [
            window for sample in chosen for window in find_windows(index, int(sample), crops, spec.seed)
        ]
        self.source: SensorFiles | Cache = SensorFiles(index, root) if cache is None else Cache(cache, index)
        # as in FrameDataset
        cv2.setNumThreads(0)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, key: tuple[int, int]) -> Crop:
        position, draw = key
        window, mirrored = self.windows[position], False
        if self.train:
            generator = np.random.default_rng(seed_for(self.spec.seed, "crop", draw, position))
            shares_4 = generator.random(4)
            window, mirrored = window.jittered(shares_4[:3], self.crops.jitter), bool(shares_4[3] < 0.5)
        side_px = self.crops.side_px
        affine_33 = window.affine(side_px, mirrored)
        pixels_HW3 = warp(self.source.image(window.record), affine_33, (side_px, side_px))
        return Crop(
            self.index.token(window.sample), torch.from_numpy(pixels_HW3).movedim(-1, -3), window.label
        )

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Positions of one epoch, shuffled; with cbgs every label is equally frequent."""
        generator = np.random.default_rng(seed_for(self.spec.seed, "order", epoch))
        if not self.spec.schedule.cbgs:
            return generator.permutation(len(self))
        labels_C = np.array([window.label for window in self.windows], dtype=np.int64)
        return balanced(labels_C[:, None] == np.arange(BACKGROUND + 1), generator)


def collate(crops: list[Crop]) -> Crops:
    """Stack crops to a batch."""
    return Crops(
        tokens=tuple(crop.token for crop in crops),
        images_BCHW=stacked([crop.image_3HW for crop in crops]),
        labels_B=torch.tensor([crop.label for crop in crops]),
    )


def find_windows(index: Index, sample: int, spec: CropSpec, seed: int) -> Iterator[Window]:
    """Windows of a sample's key images: its objects, and one of background per camera."""
    rows = index.annotations(sample)
    labels_K = index.annotation_label[rows]
    visibility_K = index.annotation_visibility[rows]
    # level 0 is a table without visibility; having a point is then the only evidence
    clear_K = index.has_points()[rows] & ((visibility_K == 0) | (visibility_K >= spec.min_visibility))
    for camera in range(len(CAMERAS)):
        record = int(index.sample_key_record[sample, camera + 1])
        size = (int(index.record_height[record]), int(index.record_width[record]))
        full_K4, ahead_K = rectangles(index, sample, record)
        visible_K4 = np.clip(full_K4, 0, (size[1], size[0], size[1], size[0]))
        for k in np.flatnonzero(ahead_K & clear_K):
            longer = max(_sides(visible_K4[k]))
            if _area(visible_K4[k]) >= INSIDE * _area(full_K4[k]) and longer >= spec.min_box_px:
                side = longer * (1 + 2 * spec.margin)
                left, top = (visible_K4[k, :2] + visible_K4[k, 2:] - side) / 2
                yield Window(sample, record, float(left), float(top), float(side), int(labels_K[k]))
        generator = np.random.default_rng(seed_for(seed, "background", index.token(sample), camera))
        place = _free(visible_K4, size, spec, generator)
        if place is not None:
            yield Window(sample, record, *place, BACKGROUND)


def rectangles(index: Index, sample: int, record: int) -> tuple[Array, NDArray[np.bool_]]:
    """Image rectangles around every box of a sample, and a mask of boxes entirely ahead of the camera.

    A box entirely behind gets an empty rectangle; that of a box beside the camera is too large rather than
    too small.
    """
    pose = index.record_sensor_to_global
    camera_from_lidar = inverse(pose[record]) @ pose[index.sample_key_record[sample, LIDAR_COLUMN]]
    corners_K83 = corners(index.boxes(sample))
    points_P3 = move_points(camera_from_lidar, corners_K83.reshape(-1, 3))
    depth_K8 = points_P3[:, 2].reshape(-1, 8).copy()
    points_P3[:, 2] = np.maximum(points_P3[:, 2], NEAR_M)
    pixels_K82 = project(index.intrinsics(record), points_P3)[:, :2].reshape(-1, 8, 2)
    rectangle_K4 = np.concatenate([pixels_K82.min(axis=1), pixels_K82.max(axis=1)], axis=1)
    rectangle_K4[(depth_K8 < NEAR_M).all(axis=1)] = 0
    return rectangle_K4, (depth_K8 > NEAR_M).all(axis=1)


def _free(
    taken_K4: Array, size: tuple[int, int], spec: CropSpec, generator: np.random.Generator
) -> tuple[float, float, float] | None:
    """Left, top and side of a random square that overlaps no rectangle, if any try succeeds."""
    height, width = size
    smallest, largest = (share * height for share in BACKGROUND_SIDES)
    smallest = max(smallest, spec.min_box_px)
    for growth, x, y in generator.random((TRIES, 3)):
        side = smallest * math.exp(growth * math.log(max(1.0, largest / smallest)))
        left, top = x * (width - side), y * (height - side)
        apart_K = (taken_K4[:, 0] >= left + side) | (taken_K4[:, 2] <= left)
        apart_K |= (taken_K4[:, 1] >= top + side) | (taken_K4[:, 3] <= top)
        if apart_K.all():
            return left, top, side
    return None


def _sides(rectangle_4: Array) -> Array:
    return np.asarray(rectangle_4[2:] - rectangle_4[:2])


def _area(rectangle_4: Array) -> float:
    return float(np.prod(_sides(rectangle_4)))
