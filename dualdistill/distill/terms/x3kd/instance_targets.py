"""What X-IS's second head should say of an image: instances on its map, regions, their boxes and masks.

Axes: C channels, H W pixels, S instances, P proposals, K regions, R those of them that hold an instance.
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
class Truth:
    """The instances of an image that count, their boxes in cells of its map."""

    boxes_S4: Tensor
    labels_S: Tensor
    masks_SHW: Tensor  # at the image's own size, in main memory
    stride: float  # pixels per cell


@dataclass(frozen=True)
class Regions:
    """What the second stage is asked about the regions of one image, and what it should say."""

    crops_KCss: Tensor
    labels_K: Tensor  # BACKGROUND where there is no instance
    crops_RCss: Tensor
    deltas_R4: Tensor
    masks_Rss: Tensor


def truth(instances: Instances, score_threshold: float, image_Chw: Tensor) -> Truth:
    """The instances that the segmenter is sure of."""
    sure_S = instances.scores_S > score_threshold
    masks_SHW, stride = instances.masks_SHW[sure_S], instances.masks_SHW.shape[2] / image_Chw.shape[2]
    boxes_S4 = rois.tight_boxes(masks_SHW).to(image_Chw) / stride
    return Truth(boxes_S4, instances.labels_S[sure_S].to(image_Chw.device), masks_SHW, stride)


@torch.no_grad()
def targets(own: Truth, boxes_R4: Tensor, owner_R: Tensor) -> tuple[Tensor, Tensor]:
    """Box deltas and masks, [R, 28, 28], of regions that hold the instance `owner_R`."""
    deltas_R4 = rois.deltas(boxes_R4, own.boxes_S4[owner_R], BOX_STDS)
    masks_RHW = own.masks_SHW[owner_R.cpu()].to(boxes_R4)
    inside = rois.crops(masks_RHW[:, None], own.stride * boxes_R4[:, None], 2 * MASK_SIDE)[:, 0, 0]
    return deltas_R4, (inside >= 0.5).to(boxes_R4)


def regions(image_Chw: Tensor, own: Truth, found_P4: Tensor) -> Regions:
    """Proposals and the true boxes themselves, a quarter of them on an instance where there are so many."""
    boxes_P4 = torch.cat([own.boxes_S4, found_P4])
    owner_P = rois.matched(boxes_P4, own.boxes_S4, positive=0.5, negative=0.5, best=False)
    positive, negative = rois.sampled(owner_P, REGIONS_PER_IMAGE, 0.25)
    boxes_R4, owner_R = boxes_P4[positive], owner_P[positive] - 1
    boxes_K4 = torch.cat([boxes_R4, boxes_P4[negative]])
    labels_K = own.labels_S.new_full((len(boxes_K4),), BACKGROUND)
    labels_K[: len(owner_R)] = own.labels_S[owner_R]
    crop_KCss = rois.crops(image_Chw[None], boxes_K4[None], BOX_SIDE)[0]
    crop_RCss = rois.crops(image_Chw[None], boxes_R4[None], MASK_SIDE)[0]
    return Regions(crop_KCss, labels_K, crop_RCss, *targets(own, boxes_R4, owner_R))
