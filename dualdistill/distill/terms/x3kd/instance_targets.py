"""Targets of X-IS: instances on the image map, and the regions, boxes and masks that the head must predict.

Axes: C channels, H W pixels, S instances, P proposals, K regions, R the regions that hold an instance.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dualdistill.config.nuscenes import BACKGROUND
from dualdistill.data.batch import Instances
from dualdistill.distill.terms.x3kd import rois

REGIONS_PER_IMAGE = 64  # that count in the losses
BOX_SIDE, MASK_SIDE = 7, 14  # of a region's crop; the mask head doubles the latter
BOX_STDS = (0.1, 0.1, 0.2, 0.2)  # unit of a region's box deltas


@dataclass(frozen=True)
class ImageTargets:
    """The instances of one image that count as targets, with boxes in cells of its map."""

    boxes_S4: Tensor
    labels_S: Tensor
    instances: Instances  # all of the image, in main memory
    kept_S: Tensor  # numbers of the targets among them
    stride: float  # pixels per cell


@dataclass(frozen=True)
class Regions:
    """Inputs and targets of the second stage for the regions of one image."""

    crops_KCss: Tensor
    labels_K: Tensor  # BACKGROUND where there is no instance
    crops_RCss: Tensor
    deltas_R4: Tensor
    masks_Rss: Tensor


def image_targets(instances: Instances, score_threshold: float, image_Chw: Tensor) -> ImageTargets:
    """The instances whose score exceeds the threshold."""
    kept_S, stride = (
        (instances.scores_S > score_threshold).nonzero()[:, 0],
        instances.size[1] / image_Chw.shape[2],
    )
    boxes_S4 = instances.boxes_S4[kept_S].to(image_Chw) / stride
    return ImageTargets(boxes_S4, instances.labels_S[kept_S].to(image_Chw.device), instances, kept_S, stride)


@torch.no_grad()
def region_targets(image: ImageTargets, boxes_R4: Tensor, instance_R: Tensor) -> tuple[Tensor, Tensor]:
    """Box deltas and masks, [R, 28, 28], of regions that hold the instances `instance_R`."""
    deltas_R4 = rois.deltas(boxes_R4, image.boxes_S4[instance_R], BOX_STDS)
    masks_RHW = image.instances.masks(image.kept_S[instance_R.cpu()]).to(boxes_R4)
    inside_Rss = rois.crops(masks_RHW[:, None], image.stride * boxes_R4[:, None], 2 * MASK_SIDE)[:, 0, 0]
    return deltas_R4, (inside_Rss >= 0.5).to(boxes_R4)


def regions(image_Chw: Tensor, image: ImageTargets, proposals_P4: Tensor) -> Regions:
    """Regions among the proposals and the instances' boxes, at most a quarter of them on an instance."""
    boxes_P4 = torch.cat([image.boxes_S4, proposals_P4])
    owner_P = rois.matched(boxes_P4, image.boxes_S4, positive=0.5, negative=0.5, best=False)
    positive, negative = rois.sampled(owner_P, REGIONS_PER_IMAGE, 0.25)
    boxes_R4, instance_R = boxes_P4[positive], owner_P[positive] - 1
    boxes_K4 = torch.cat([boxes_R4, boxes_P4[negative]])
    labels_K = image.labels_S.new_full((len(boxes_K4),), BACKGROUND)
    labels_K[: len(instance_R)] = image.labels_S[instance_R]
    crop_KCss = rois.crops(image_Chw[None], boxes_K4[None], BOX_SIDE)[0]
    crop_RCss = rois.crops(image_Chw[None], boxes_R4[None], MASK_SIDE)[0]
    return Regions(crop_KCss, labels_K, crop_RCss, *region_targets(image, boxes_R4, instance_R))
