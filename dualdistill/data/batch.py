"""Batches and model outputs: the interface between data, models, distillation and evaluation.

Axes: B batch, F frames (0 current, 1 previous), N cameras (CAMERAS), C channels, H W image or BEV rows
and columns, h w image feature rows and columns, D depth bins, K boxes, P points, I columns of a point.
Boxes are rows (x, y, z, l, w, h, yaw, vx, vy) in the LIDAR_TOP frame of the key frame after BEV augmentation:
x right, y forward, metres, gravity centre, l along the heading, yaw counter-clockwise from +x in radians,
velocity in m/s over ground.
BEV maps are [y, x]: row = (y + half_extent) / cell, column = (x + half_extent) / cell.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

SHORTEST_HISTORY_S = 0.05  # a displacement over less time determines no velocity
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # mean and deviation of RGB in 0..255
FLAG = 15  # column of a point of 17: 1 real, 0 painted, -1 virtual
VIRTUAL = -1.0


@dataclass(frozen=True)
class Instances:
    """S instances of one image in network pixels, cut out along their boxes: the rest of a mask is empty.

    They stay in main memory: only crops of them are needed elsewhere.
    """

    size: tuple[int, int]  # height and width of the image
    boxes_S4: Tensor  # the smallest around each mask: left, top, right, bottom, whole pixels
    inside_P: Tensor  # bool, the pixels of all boxes, one box after another, row by row
    labels_S: Tensor  # indices into CLASSES
    scores_S: Tensor  # 0..1

    @staticmethod
    def of(masks_SHW: Tensor, labels_S: Tensor, scores_S: Tensor) -> Instances:
        """Instances from whole masks, which are never empty."""
        boxes_S4 = tight_boxes(masks_SHW)
        corners = zip(masks_SHW, boxes_S4.tolist(), strict=True)
        parts = [mask_HW[top:bottom, left:right].flatten() for mask_HW, (left, top, right, bottom) in corners]
        inside_P = torch.cat([torch.zeros(0, dtype=torch.bool), *parts])
        height, width = masks_SHW.shape[1:]
        return Instances((height, width), boxes_S4, inside_P, labels_S, scores_S)

    def masks(self, chosen_R: Tensor) -> Tensor:
        """Whole masks [R, H, W] of some instances."""
        sides_S2 = self.boxes_S4[:, 2:] - self.boxes_S4[:, :2]
        end_S = sides_S2.prod(dim=1).cumsum(dim=0).tolist()
        masks_RHW = torch.zeros(len(chosen_R), *self.size, dtype=torch.bool)
        for mask_HW, s in zip(masks_RHW, chosen_R.tolist(), strict=True):
            (left, top, right, bottom), (width, height) = self.boxes_S4[s].tolist(), sides_S2[s].tolist()
            inside_P = self.inside_P[end_S[s] - width * height : end_S[s]]
            mask_HW[top:bottom, left:right] = inside_P.view(height, width)
        return masks_RHW


def tight_boxes(masks_SHW: Tensor) -> Tensor:
    """The smallest box around each mask, in its pixels, [S, 4]."""
    sides = []
    for inside in (masks_SHW.any(dim=1), masks_SHW.any(dim=2)):
        first = inside.int().argmax(dim=1)
        last = inside.shape[1] - inside.flip(1).int().argmax(dim=1)
        sides.append((first, last))
    (left, right), (top, bottom) = sides
    return torch.stack([left, top, right, bottom], dim=1)


@dataclass(frozen=True)
class Batch:
    """Samples of a detector. Optional fields are None, or empty, unless the data set loads them."""

    tokens: tuple[str, ...]  # sample tokens, for error messages and predictions
    boxes_K9: tuple[Tensor, ...]
    labels_K: tuple[Tensor, ...]  # indices into CLASSES
    bev_affine_B44: Tensor  # the BEV augmentation: plain LIDAR_TOP -> augmented LIDAR_TOP
    # x, y, z, intensity 0..255, the columns of data/virtual_points/reader.py if any, age in seconds
    points_PI: tuple[Tensor, ...] = ()
    images_BFNCHW: Tensor | None = None  # RGB: uint8 as loaded, float32 and ImageNet-normalised on the device
    intrinsics_BFN33: Tensor | None = None  # of the stored image, before image augmentation
    image_affine_BFN33: Tensor | None = None  # stored pixel (u, v, 1) -> network pixel
    camera_to_lidar_BFN44: Tensor | None = None  # each camera -> augmented LIDAR_TOP at the time of its frame
    previous_to_current_B44: Tensor | None = None  # augmented LIDAR_TOP then -> augmented LIDAR_TOP now
    # age of the previous frame in seconds; at the start of a scene see choose_previous_frame
    history_s_B: Tensor | None = None
    # metres to the nearest point of the key frame per cell of the lifted map, 0 = none
    depth_BNhw: Tensor | None = None
    owner_BNhw: Tensor | None = None  # 1 + index of the box that contains this point, 0 = none
    instances: tuple[tuple[Instances, ...], ...] = ()  # of the current images, B x N

    def to(self, device: torch.device) -> Batch:
        """Copy the batch to a device and normalise its images there: as bytes they move four times faster."""

        def moved(value: Any) -> Any:
            if isinstance(value, Tensor):
                return value.to(device, non_blocking=True)
            whole = isinstance(value, tuple) and all(isinstance(item, Tensor) for item in value)
            return tuple(map(moved, value)) if whole else value

        batch = replace(self, **{item.name: moved(getattr(self, item.name)) for item in fields(self)})
        if batch.images_BFNCHW is None:
            return batch
        return replace(batch, images_BFNCHW=normalised(batch.images_BFNCHW))


@dataclass(frozen=True)
class Crops:
    """Pre-training samples of a backbone: square crops of images, each with one label."""

    tokens: tuple[str, ...]  # sample tokens, for error messages
    images_BCHW: Tensor  # as in Batch
    labels_B: Tensor  # indices into CLASSES, or BACKGROUND

    def to(self, device: torch.device) -> Crops:
        """Copy the crops to a device and normalise them there."""
        images_BCHW = normalised(self.images_BCHW.to(device, non_blocking=True))
        return replace(self, images_BCHW=images_BCHW, labels_B=self.labels_B.to(device, non_blocking=True))


def normalised(images_3HW: Tensor) -> Tensor:
    """Normalise RGB bytes [..., 3, H, W]; float images are returned as they are."""
    if images_3HW.dtype != torch.uint8:
        return images_3HW
    # the pixels of a row stay together, as they were loaded and as convolutions want them
    pixels_HW3 = images_3HW.movedim(-3, -1).to(torch.float32)
    width = pixels_HW3.shape[-2]
    mean, std = (pixels_HW3.new_tensor(values).repeat(width) for values in IMAGENET)
    rows_HW = pixels_HW3.flatten(-2).sub_(mean).div_(std)
    return rows_HW.unflatten(-1, (width, 3)).movedim(-1, -3)


@dataclass(frozen=True)
class Output:
    """A detector's forward pass: maps by tap name, raw head outputs per task, a student's depth logits."""

    taps_BCHW: dict[str, Tensor]  # student: s0 s1 s2 s3 head; teacher: t1 t2 t3 neck
    predictions: list[dict[str, Tensor]]  # one per task: reg height dim rot vel heatmap (logits)
    depth_logits_BNDhw: Tensor | None = None
    image_BNChw: Tensor | None = None  # the image features that a student lifts, current frame
    occupied_BYX: Tensor | None = None  # non-empty pillars of a teacher's canvas


@dataclass(frozen=True)
class ImageDepth:
    """A student's depth prediction for its current frame, beside the LiDAR's measurement."""

    logits_BNDhw: Tensor
    bins_D: Tensor  # centres of the bins in metres
    target_BNhw: Tensor  # as in Batch
    owner_BNhw: Tensor  # as in Batch, and 0 where the point lies beyond the bins


@dataclass(frozen=True)
class Detections:
    """Decoded boxes of one sample, velocity in m/s."""

    boxes_K9: Tensor
    scores_K: Tensor
    labels_K: Tensor
