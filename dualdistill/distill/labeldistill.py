"""LabelDistill (ECCV 2024): learn from LiDAR and from labels, each with its own share of the channels.

The second teacher encodes the labels without the ambiguity of a measurement (models/labels.py). Defaults are
the released values.
Axes: B batch, C channels, H W BEV rows and columns, K boxes of the whole batch.
"""

from __future__ import annotations

from collections.abc import Mapping

from mmdet.models.backbones.resnet import BasicBlock
from torch import Tensor, nn

from dualdistill.distill.alignment.upsample_conv import upsample
from dualdistill.distill.base import Distiller
from dualdistill.distill.inputs import FeaturePair, Shape
from dualdistill.distill.terms.label_response import box_response, heatmap_response
from dualdistill.errors import UserError
from dualdistill.models.bevdepth.student import displaced, require
from dualdistill.models.center_targets import centre_targets

LEVELS = (("s0", "t2"), ("s1", "t3"))  # what enters the student's BEV encoder, and its first stage
PARTS = ("label", "lidar", "free")  # of the channels; the last third learns from neither


class LabelDistill(Distiller):
    """L = w_lidar L_feat(LiDAR) + w_label L_feat(labels) + w_response L_response."""

    label_encoder = True

    def __init__(
        self, *, lidar_weight: float = 0.3, label_weight: float = 0.3, response_weight: float = 1.0
    ) -> None:
        super().__init__()
        self.weights = {"label": label_weight, "lidar": lidar_weight}
        self.response_weight = response_weight

    def bind(self, student_shapes: Mapping[str, Shape], teacher_shapes: Mapping[str, Shape]) -> None:
        """An adapter for each source at each level; the student's maps are as large as the teacher's."""
        self.adapters = nn.ModuleDict()
        for tap, target in LEVELS:
            (channels, *size_HW), (outputs, *taught_HW) = student_shapes[tap], teacher_shapes[target]
            if size_HW != taught_HW:
                what = f"the student's {tap} has {size_HW[0]} rows, the teacher's {target} has {taught_HW[0]}"
                raise UserError(
                    what, where="labeldistill", hint="a cell must be 4 pillars of the teacher wide"
                )
            for source, width in zip(self.weights, part_widths(channels), strict=False):
                self.adapters[f"{source}_{tap}"] = adapter(width, outputs)

    def losses(self, pair: FeaturePair) -> dict[str, Tensor]:
        history_s_B = require(pair.history_s_B, "history_s_B")
        heatmaps_BNHW = pair.teacher_head.heatmaps(pair.boxes_K9, pair.labels_K)
        targets = centre_targets(displaced(pair.boxes_K9, history_s_B), pair.labels_K, pair.grid)
        said = (pair.student_predictions, pair.teacher_predictions)
        return self.feature_losses(pair, heatmaps_BNHW.sum(dim=1, keepdim=True)) | {
            "response_heatmap": self.response_weight * heatmap_response(*said, heatmaps_BNHW),
            "response_box": self.response_weight * box_response(*said, targets, history_s_B),
        }

    def feature_losses(self, pair: FeaturePair, heatmap_B1HW: Tensor) -> dict[str, Tensor]:
        taught_BCHW = {"label": pair.label_BCHW, "lidar": pair.teacher_BCHW}
        losses = {}
        for tap, target in LEVELS:
            student_BCHW = pair.student_BCHW[tap]
            near_B1HW = upsample(heatmap_B1HW, (student_BCHW.shape[2], student_BCHW.shape[3]))
            # the LiDAR is surest at an object's centre, its label everywhere
            mask_B1HW = {"label": (near_B1HW > 0).to(near_B1HW), "lidar": near_B1HW}
            parts_BCHW = student_BCHW.split(part_widths(student_BCHW.shape[1]), dim=1)
            for source, part_BCHW in zip(self.weights, parts_BCHW, strict=False):
                aligned_BCHW = self.adapters[f"{source}_{tap}"](part_BCHW)
                loss = feature_loss(aligned_BCHW, taught_BCHW[source][target], mask_B1HW[source])
                losses[f"{source}_{tap}"] = self.weights[source] * loss
        return losses


def part_widths(channels: int) -> list[int]:
    """Thirds of the channels, the first ones wider by one where three does not divide them."""
    return [(channels + len(PARTS) - 1 - i) // len(PARTS) for i in range(len(PARTS))]


def adapter(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="replicate")
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True), BasicBlock(outputs, outputs))


def feature_loss(student_BCHW: Tensor, teacher_BCHW: Tensor, mask_B1HW: Tensor) -> Tensor:
    """sum_p m(p) sum_c (F_T - F_S)^2 / max(1, sum_p m(p)), over the whole batch."""
    return (mask_B1HW * (teacher_BCHW - student_BCHW).square()).sum() / mask_B1HW.sum().clamp(min=1)
