"""CenterHead on the BEV map: mmdet3d's layers, focal loss, box coder and NMS behind four functions.

Axes: B batch, K boxes, G classes, C channels, Y X rows and columns of the BEV grid.
Predictions are one dict per task: reg 2, height 1, dim 3 (log), rot 2 (sin, cos), vel 2, heatmap (logits of
the task's classes). They are never changed in place; the library's loss turns logits into
probabilities. Boxes have their gravity centre, as everywhere here; the library's box classes, which use the
bottom centre, are not used.
"""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from mmdet.models.losses.gaussian_focal_loss import gaussian_focal_loss
from mmdet3d.models.dense_heads import CenterHead
from mmdet3d.models.task_modules.coders import CenterPointBBoxCoder
from torch import Tensor, nn

from dualdistill.config.nuscenes import TASKS
from dualdistill.config.run_spec import GridSpec, HeadSpec
from dualdistill.data.batch import Detections
from dualdistill.distributed import normaliser, ranks
from dualdistill.models.center_targets import Targets, centre_targets
from dualdistill.models.nms import circle_nms, rotated_nms

REGRESSION = {"reg": 2, "height": 1, "dim": 3, "rot": 2, "vel": 2}  # in the order of the targets' columns
TASK_SIZES = tuple(len(names) for names in TASKS)
FIRST_LABEL = tuple(itertools.accumulate(TASK_SIZES, initial=0))[:-1]
HEATMAP_BIAS = -2.19  # a sigmoid of 0.1
BOX_WEIGHT = 0.25
MARGIN_M = 10.0  # decoded centres may leave the grid by this much, in x, y and z around zero


class Head(nn.Module):
    """Detection head with loss, decoding and target heatmaps."""

    def __init__(self, inputs: int, spec: HeadSpec, grid: GridSpec) -> None:
        super().__init__()
        self.spec, self.grid = spec, grid
        self.layers = CenterHead(
            in_channels=inputs,
            tasks=[{"num_class": len(names), "class_names": list(names)} for names in TASKS],
            common_heads={name: (channels, 2) for name, channels in REGRESSION.items()},
            share_conv_channel=spec.share_channels,
            separate_head={
                "type": "SeparateHead",
                "head_conv": spec.share_channels,
                "final_kernel": 3,
            },
            bbox_coder=self._coder_options(),
        )
        # the library intends to set this bias, but its init_weights never reaches the task heads
        for task in self.layers.task_heads:
            nn.init.constant_(task.heatmap[-1].bias, HEATMAP_BIAS)

    def forward(self, feature_BCYX: Tensor) -> list[dict[str, Tensor]]:
        if not self.spec.float32:
            return [levels[0] for levels in self.layers([feature_BCYX])]
        with torch.autocast(feature_BCYX.device.type, enabled=False):
            return [levels[0] for levels in self.layers([feature_BCYX.float()])]

    def heatmaps(self, boxes_K9: tuple[Tensor, ...], labels_K: tuple[Tensor, ...]) -> Tensor:
        """Gaussian targets in the order of CLASSES, [B, G, Y, X]."""
        return centre_targets(boxes_K9, labels_K, self.grid).heatmap_BGYX

    def loss(
        self,
        predictions: list[dict[str, Tensor]],
        boxes_K9: tuple[Tensor, ...],
        labels_K: tuple[Tensor, ...],
        velocity_weight: float | None = None,
    ) -> dict[str, Tensor]:
        """Heatmap and box loss, summed over tasks, in float32; a NaN velocity is not supervised.

        The velocity weight is the spec's by default.
        """
        if velocity_weight is None:
            velocity_weight = self.spec.velocity_weight
        targets = centre_targets(boxes_K9, labels_K, self.grid)
        with torch.autocast(targets.heatmap_BGYX.device.type, enabled=False):
            return {
                "heatmap": self._heatmap_loss(predictions, targets),
                "box": self._box_loss(predictions, targets, velocity_weight),
            }

    def _heatmap_loss(self, predictions: list[dict[str, Tensor]], targets: Targets) -> Tensor:
        logits_BGYX = torch.cat([prediction["heatmap"] for prediction in predictions], dim=1).float()
        probability_BGYX = logits_BGYX.sigmoid().clamp(1e-4, 1 - 1e-4)
        loss_BGYX = gaussian_focal_loss(probability_BGYX, targets.heatmap_BGYX, reduction="none")
        loss_G, peaks_G = loss_BGYX.sum(dim=(0, 2, 3)), targets.heatmap_BGYX.eq(1).sum(dim=(0, 2, 3))
        return (by_task(loss_G) / normaliser(by_task(peaks_G))).sum()

    def _box_loss(
        self, predictions: list[dict[str, Tensor]], targets: Targets, velocity_weight: float
    ) -> Tensor:
        weight_10 = targets.values_K10.new_ones(10)
        weight_10[8:] = velocity_weight
        total = targets.values_K10.new_zeros(())
        tasks_K = in_tasks(targets.label_K)
        counts = normaliser(torch.stack([in_task_K.sum() for in_task_K in tasks_K]), at_least=0)
        for prediction, in_task_K, count in zip(predictions, tasks_K, counts, strict=True):
            sample_K, row_K = targets.sample_K[in_task_K], targets.row_K[in_task_K]
            column_K = targets.column_K[in_task_K]
            at_K = [prediction[name][sample_K, :, row_K, column_K] for name in REGRESSION]
            values_K10 = targets.values_K10[in_task_K]
            known_K10 = ~values_K10.isnan()
            error_K10 = (torch.cat(at_K, dim=1).float() - values_K10.nan_to_num()).abs() * known_K10
            total = total + (error_K10 * weight_10).sum() / (count + 1e-4 / ranks())
        return BOX_WEIGHT * total

    @torch.no_grad()
    def decode(
        self,
        predictions: list[dict[str, Tensor]],
        *,
        temperature: float = 1.0,
        score_threshold: float | None = None,
        rank_by: Literal["sharpened", "logit"] = "sharpened",
        nms_iou: float | None = None,
    ) -> list[Detections]:
        """Boxes of each sample; the score is sigmoid(logit / temperature), velocity stays as regressed.

        Ranking by the sharpened score is the released behaviour; at low temperatures it saturates at one and
        ties are broken arbitrarily, whereas ranking by the logit breaks them in favour of the peak. `nms_iou`
        replaces the rules of all tasks by rotated NMS at this value.
        """
        threshold = self.spec.score_threshold if score_threshold is None else score_threshold
        tasks = [
            [_cut(*sample, first, threshold) for sample in self._candidates(prediction, temperature, rank_by)]
            for prediction, first in zip(predictions, FIRST_LABEL, strict=True)
        ]
        most = self.spec.max_per_task
        by_task = [
            [_select(boxes, kept_K[:most]) for (boxes, _), kept_K in zip(task, kept, strict=True)]
            for task, kept in zip(tasks, self._nms(tasks, nms_iou), strict=True)
        ]
        return [_merge(sample) for sample in zip(*by_task, strict=True)]

    def _nms(self, tasks: list[list[tuple[Detections, Tensor]]], iou: float | None) -> list[list[Tensor]]:
        """Indices of the candidates that each task's rule keeps, best first, per task and sample."""
        ious, radii_m = self.spec.nms_iou, self.spec.circle_nms_m
        if iou is not None:
            ious, radii_m = (iou,) * len(tasks), (0.0,) * len(tasks)
        rules = list(zip(tasks, ious, radii_m, strict=True))
        # one call for all tasks and samples takes little longer than one set of boxes
        rotated = iter(
            rotated_nms(
                [
                    (self._footprint(boxes), rank_K, iou)
                    for task, iou, radius_m in rules
                    for boxes, rank_K in task
                    if not radius_m
                ]
            )
        )
        return [
            [
                circle_nms(boxes.boxes_K9[:, :2], rank_K, radius_m) if radius_m else next(rotated)
                for boxes, rank_K in task
            ]
            for task, _, radius_m in rules
        ]

    def _candidates(
        self, prediction: dict[str, Tensor], temperature: float, rank_by: str
    ) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Per sample: boxes, labels within the task, scores, and the value that ranks them."""
        maps = {name: value.float().contiguous() for name, value in prediction.items()}
        logits_BGYX = maps["heatmap"]
        rank_BGYX = logits_BGYX if rank_by == "logit" else (logits_BGYX / temperature).sigmoid()
        # a new coder per call: the library's caches a tensor of the last device and warns about it
        decoded = CenterPointBBoxCoder(**self._coder_options(named=False)).decode(
            rank_BGYX,
            maps["rot"][:, :1],
            maps["rot"][:, 1:],
            maps["height"],
            maps["dim"].exp(),
            maps["vel"],
            reg=maps["reg"],
        )
        candidates = []
        for sample in decoded:
            rank_K = sample["scores"]
            score_K = (rank_K / temperature).sigmoid() if rank_by == "logit" else rank_K
            candidates.append((sample["bboxes"], sample["labels"].long(), score_K, rank_K))
        return candidates

    def _footprint(self, candidates: Detections) -> Tensor:
        """The rotated boxes that NMS compares, [K, 5]."""
        boxes_K9 = candidates.boxes_K9
        scale_K1 = boxes_K9.new_tensor(self.spec.nms_scale)[candidates.labels_K, None]
        return torch.cat([boxes_K9[:, :2], boxes_K9[:, 3:5] * scale_K1, boxes_K9[:, 6:7]], dim=1)

    def _coder_options(self, named: bool = True) -> dict:
        reach_m = self.grid.half_extent_m + MARGIN_M
        options = {
            "pc_range": [-self.grid.half_extent_m, -self.grid.half_extent_m],
            "out_size_factor": 1,
            "voxel_size": [self.grid.cell_m, self.grid.cell_m],
            "post_center_range": [-reach_m, -reach_m, -MARGIN_M, reach_m, reach_m, MARGIN_M],
            "max_num": min(self.spec.max_candidates, self.grid.cells**2),
            "code_size": 9,
        }
        return {"type": "CenterPointBBoxCoder", **options} if named else options


def by_task(value_G: Tensor) -> Tensor:
    """Sums over the classes of every task."""
    return torch.stack([part.sum() for part in value_G.split(TASK_SIZES)])


def in_tasks(label_K: Tensor) -> list[Tensor]:
    """Masks of the boxes of each task."""
    ranges = zip(FIRST_LABEL, TASK_SIZES, strict=True)
    return [(label_K >= first) & (label_K < first + size) for first, size in ranges]


def _cut(
    boxes_K9: Tensor, labels_K: Tensor, score_K: Tensor, rank_K: Tensor, first: int, threshold: float
) -> tuple[Detections, Tensor]:
    """Candidates above the threshold, with the values that rank them."""
    keep_K = score_K > threshold
    return Detections(boxes_K9[keep_K], score_K[keep_K], labels_K[keep_K] + first), rank_K[keep_K]


def _select(boxes: Detections, indices_K: Tensor) -> Detections:
    return Detections(boxes.boxes_K9[indices_K], boxes.scores_K[indices_K], boxes.labels_K[indices_K])


def _merge(parts: tuple[Detections, ...]) -> Detections:
    return Detections(
        torch.cat([part.boxes_K9 for part in parts]),
        torch.cat([part.scores_K for part in parts]),
        torch.cat([part.labels_K for part in parts]),
    )
