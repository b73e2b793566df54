"""LabelDistill (ECCV 2024): distil LiDAR and label features into separate parts of the channels.

The second teacher encodes ground-truth boxes without the ambiguity of a measurement
(models/label_encoder.py). Defaults are the released values.
Axes: B batch, C channels, H W BEV rows and columns, K boxes of the whole batch.
"""

from __future__ import annotations

from collections.abc import Mapping

from mmdet.models.backbones.resnet import BasicBlock
from torch import Tensor, nn

from dualdistill.config.ranges import Weight
from dualdistill.distill.alignment.upsample_conv import upsample
from dualdistill.distill.base import Distiller
from dualdistill.distill.inputs import FeaturePair, Shape
from dualdistill.distill.terms.label_response import box_response, heatmap_response
from dualdistill.distributed import normaliser
from dualdistill.errors import UserError
from dualdistill.models.center_targets import centre_targets
from dualdistill.models.student import displaced, require

LEVELS = (("s0", "t2"), ("s1", "t3"))  # input of the student's BEV encoder, and its first stage
PARTS = ("label", "lidar", "free")  # thirds of the channels; the last one imitates neither teacher


class LabelDistill(Distiller):
    """L = w_lidar L_feat(LiDAR) + w_label L_feat(labels) + w_response L_response."""

    label_encoder = True

    def __init__(
        self, *, lidar_weight: Weight = 0.3, label_weight: Weight = 0.3, response_weight: Weight = 1.0
    ) -> None:
        super().__init__()
        self.weights = {"label": label_weight, "lidar": lidar_weight}
        self.response_weight = response_weight

    def bind(self, student_shapes: Mapping[str, Shape], teacher_shapes: Mapping[str, Shape]) -> None:
        """Create an adapter per source and level; student and teacher maps must have the same size."""
        self.adapters = nn.ModuleDict()
        for tap, target in LEVELS:
            (channels, rows, columns), (outputs, *size_HW) = student_shapes[tap], teacher_shapes[target]
            if [rows, columns] != size_HW:
                what = f"the student's {tap} has {rows} rows, the teacher's {target} has {size_HW[0]}"
                hint = "a cell must be 4 pillars of the teacher wide"
                raise UserError(what, where="labeldistill", hint=hint)
            for source, width in zip(self.weights, part_widths(channels), strict=False):
                self.adapters[f"{source}_{tap}"] = adapter(width, outputs)

    def losses(self, pair: FeaturePair) -> dict[str, Tensor]:
        history_s_B = require(pair.history_s_B, "history_s_B")
        heatmaps_BNHW = pair.teacher_head.heatmaps(pair.boxes_K9, pair.labels_K)
        targets = centre_targets(displaced(pair.boxes_K9, history_s_B), pair.labels_K, pair.grid)
        predictions = (pair.student_predictions, pair.teacher_predictions)
        return self.feature_losses(pair, heatmaps_BNHW.sum(dim=1, keepdim=True)) | {
            "response_heatmap": self.response_weight * heatmap_response(*predictions, heatmaps_BNHW),
            "response_box": self.response_weight * box_response(*predictions, targets, history_s_B),
        }

    def feature_losses(self, pair: FeaturePair, heatmap_B1HW: Tensor) -> dict[str, Tensor]:
        sources_BCHW = {"label": pair.label_BCHW, "lidar": pair.teacher_BCHW}
        losses = {}
        for tap, target in LEVELS:
            student_BCHW = pair.student_BCHW[tap]
            resized_B1HW = upsample(heatmap_B1HW, (student_BCHW.shape[2], student_BCHW.shape[3]))
            # LiDAR features are most reliable at an object's centre, label features everywhere
            mask_B1HW = {"label": (resized_B1HW > 0).to(resized_B1HW), "lidar": resized_B1HW}
            parts_BCHW = student_BCHW.split(part_widths(student_BCHW.shape[1]), dim=1)
            for source, part_BCHW in zip(self.weights, parts_BCHW, strict=False):
                aligned_BCHW = self.adapters[f"{source}_{tap}"](part_BCHW)
                loss = feature_loss(aligned_BCHW, sources_BCHW[source][target], mask_B1HW[source])
                losses[f"{source}_{tap}"] = self.weights[source] * loss
        return losses


def part_widths(channels: int) -> list[int]:
    """Thirds of the channels; the first ones are wider by one if three does not divide the number."""
    return [(channels + len(PARTS) - 1 - i) // len(PARTS) for i in range(len(PARTS))]


def adapter(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="replicate")
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True), BasicBlock(outputs, outputs))


def feature_loss(student_BCHW: Tensor, teacher_BCHW: Tensor, mask_B1HW: Tensor) -> Tensor:
    """sum_p m(p) sum_c (F_T - F_S)^2 / max(1, sum_p m(p)), over the whole batch."""
    return (mask_B1HW * (teacher_BCHW - student_BCHW).square()).sum() / normaliser(mask_B1HW.sum())
