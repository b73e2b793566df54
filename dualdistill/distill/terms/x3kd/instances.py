"""X-IS, cross-task distillation: instance segmentation on the student's image map, taught by a segmenter.

The head is a Mask R-CNN (He et al., ICCV 2017) on the student's only map, with its losses. It belongs to the
method and is not part of the trained student. Axes: B batch, N cameras,
M = B x N images, C channels, h w cells, A anchors, K regions of all images, R those that hold an instance.
"""

from __future__ import annotations

import torch
from mmdet.models.roi_heads.bbox_heads import Shared2FCBBoxHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from torch import Tensor, nn
from torch.nn import functional

from dualdistill.config.nuscenes import BACKGROUND, CLASSES
from dualdistill.data.batch import Instances
from dualdistill.distill.terms.x3kd import rois
from dualdistill.distill.terms.x3kd.instance_targets import (
    BOX_SIDE,
    REGIONS_PER_IMAGE,
    ImageTargets,
    Regions,
    image_targets,
    regions,
)
from dualdistill.distributed import normaliser

ANCHORS_PER_IMAGE = 256  # in the loss


class InstanceHead(nn.Module):
    """First stage, box head and mask head; half as wide as the map, as published for 512 channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = channels // 2
        self.hidden = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.ReLU())
        self.anchor_score = nn.Conv2d(width, rois.ANCHORS, 1)
        self.anchor_box = nn.Conv2d(width, 4 * rois.ANCHORS, 1)
        self.box_head = Shared2FCBBoxHead(
            in_channels=channels,
            fc_out_channels=4 * width,
            roi_feat_size=BOX_SIDE,
            num_classes=len(CLASSES),
        )
        self.mask_head = FCNMaskHead(in_channels=channels, conv_out_channels=width, num_classes=len(CLASSES))

    def forward(
        self, image_BNChw: Tensor, instances: tuple[tuple[Instances, ...], ...], score_threshold: float
    ) -> dict[str, Tensor]:
        """The five terms of L_IS."""
        image_MChw = image_BNChw.flatten(0, 1)
        instances_M = [image for sample in instances for image in sample]
        targets_M = [
            image_targets(image, score_threshold, image_Chw)
            for image, image_Chw in zip(instances_M, image_MChw, strict=True)
        ]
        size_hw = (image_MChw.shape[2], image_MChw.shape[3])
        anchors_A4 = rois.anchors(size_hw, image_MChw)
        hidden_MChw = self.hidden(image_MChw)
        score_MA = self.anchor_score(hidden_MChw).permute(0, 2, 3, 1).flatten(1)
        delta_MA4 = self.anchor_box(hidden_MChw).permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4))
        losses = anchor_losses(score_MA, delta_MA4, anchors_A4, targets_M)
        proposals_M = [
            rois.proposals(score_A, delta_A4, anchors_A4, size_hw, REGIONS_PER_IMAGE)
            for score_A, delta_A4 in zip(score_MA, delta_MA4, strict=True)
        ]
        regions_M = [regions(*image) for image in zip(image_MChw, targets_M, proposals_M, strict=True)]
        return losses | self.region_losses(regions_M)

    def region_losses(self, regions_M: list[Regions]) -> dict[str, Tensor]:
        """Cross-entropy of the class over K, L1 of the box over K, cross-entropy of the mask over R."""
        labels_K = torch.cat([image.labels_K for image in regions_M])
        (inside_R,) = (labels_K < BACKGROUND).nonzero(as_tuple=True)
        row_R, label_R = torch.arange(len(inside_R), device=labels_K.device), labels_K[inside_R]
        logits_KG, deltas_KD = self.box_head(torch.cat([image.crops_KCss for image in regions_M]))
        error_R4 = deltas_KD[inside_R].unflatten(1, (-1, 4))[row_R, label_R]
        error_R4 = error_R4 - torch.cat([image.deltas_R4 for image in regions_M])
        masks_Rss = self.mask_head(torch.cat([image.crops_RCss for image in regions_M]))[row_R, label_R]
        target_Rss = torch.cat([image.masks_Rss for image in regions_M])
        entropy_Rss = functional.binary_cross_entropy_with_logits(masks_Rss, target_Rss, reduction="none")
        region_count, object_count = normaliser(len(labels_K)), normaliser(len(inside_R))
        return {
            "region_class": functional.cross_entropy(logits_KG, labels_K, reduction="sum") / region_count,
            "region_box": error_R4.abs().sum() / region_count,
            "region_mask": entropy_Rss.mean(dim=(1, 2)).sum() / object_count,
        }


def anchor_losses(
    score_MA: Tensor, delta_MA4: Tensor, anchors_A4: Tensor, targets_M: list[ImageTargets]
) -> dict[str, Tensor]:
    """Cross-entropy of object or background, and L1 of the boxes of objects, over all sampled anchors."""
    score, box, count = score_MA.new_zeros(()), score_MA.new_zeros(()), 0
    for score_A, delta_A4, image in zip(score_MA, delta_MA4, targets_M, strict=True):
        owner_A = rois.matched(anchors_A4, image.boxes_S4, positive=0.7, negative=0.3, best=True)
        positive, negative = rois.sampled(owner_A, ANCHORS_PER_IMAGE, 0.5)
        sampled = torch.cat([positive, negative])
        target = (owner_A[sampled] > 0).to(score_A)
        score = score + functional.binary_cross_entropy_with_logits(score_A[sampled], target, reduction="sum")
        target_R4 = rois.deltas(anchors_A4[positive], image.boxes_S4[owner_A[positive] - 1])
        box = box + (delta_A4[positive] - target_R4).abs().sum()
        count += len(sampled)
    divisor = normaliser(count)
    return {"anchor_score": score / divisor, "anchor_box": box / divisor}
