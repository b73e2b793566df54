"""The frozen networks that a run learns from, and what they return for frames that never change.

Where a training does not move its frames, the teachers see them one by one, so that their outputs do not
depend on the rest of the batch, and may be kept: a student gets the same bits either way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import prod

import torch
from mmcv.cnn.utils import fuse_conv_bn
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from dualdistill.config.nuscenes import CLASSES
from dualdistill.data.batch import Batch, Output
from dualdistill.distill.base import Distiller
from dualdistill.distill.inputs import TeacherFrames
from dualdistill.models import LabelEncoder, Teacher
from dualdistill.models.center_head import REGRESSION, TASK_SIZES
from dualdistill.models.layers import channels_last


class Teachers(nn.Module):
    """The frozen networks: a LiDAR detector and, for some methods, a label encoder."""

    def __init__(
        self, lidar: Teacher, label_encoder: LabelEncoder | None = None, *, frame_by_frame: bool = False
    ) -> None:
        super().__init__()
        # frozen batch norms become part of the convolutions before them, which is faster
        self.lidar: Teacher = fuse_conv_bn(lidar.eval())
        self.label_encoder, self.frame_by_frame = label_encoder, frame_by_frame
        self.kept: dict[str, TeacherFrames] = {}  # by the token of their sample
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, batch: Batch, method: Distiller | None = None) -> TeacherFrames:
        """The teachers' side of a batch, with the targets of the method if frames never change.

        Without a method, all outputs of the teachers.
        """
        if not self.frame_by_frame or method is None:
            return self._run(batch, reads=method is None or method.reads_teacher)
        frames = [
            self.kept.get(token) or self._single(_sample(batch, i), method)
            for i, token in enumerate(batch.tokens)
        ]
        return _joined(frames)

    @torch.no_grad()
    def keep(self, samples: Iterable[Batch], method: Distiller) -> None:
        """Run on batches of one sample and keep what they give."""
        for sample in samples:
            self.kept[sample.tokens[0]] = self._single(sample, method)

    def bytes_of_frame(self) -> int:
        """Size of what is kept of a frame, without the targets of the method."""
        taps = [prod(shape) for shape in self.lidar.tap_shapes().values()]
        encoded = sum(map(prod, self.label_encoder.shapes.values())) if self.label_encoder else 0
        outputs = len(CLASSES) + len(TASK_SIZES) * sum(REGRESSION.values())
        return 4 * (sum(taps) + encoded + outputs * self.lidar.grid.cells**2)

    def _single(self, sample: Batch, method: Distiller) -> TeacherFrames:
        frame = self._run(sample, reads=method.reads_teacher)
        return replace(frame, targets=method.targets(frame))

    def _run(self, batch: Batch, *, reads: bool) -> TeacherFrames:
        """The outputs, or empty ones if nothing reads them."""
        output = self.lidar(batch) if reads else Output({}, [])
        nothing_BYX = batch.bev_affine_B44.new_zeros(len(batch.tokens), 0, 0, dtype=torch.bool)
        return TeacherFrames(
            teacher_BCHW=output.taps_BCHW,
            label_BCHW=self.label_encoder(batch) if self.label_encoder and reads else {},
            teacher_predictions=output.predictions,
            occupied_BYX=nothing_BYX if output.occupied_BYX is None else output.occupied_BYX,
            boxes_K9=batch.boxes_K9,
            labels_K=batch.labels_K,
            grid=self.lidar.grid,
            teacher_head=self.lidar.head,
        )


def _sample(batch: Batch, i: int) -> Batch:
    """One sample of a batch, as far as teachers read it."""
    place = slice(i, i + 1)
    return Batch(
        tokens=batch.tokens[place],
        boxes_K9=batch.boxes_K9[place],
        labels_K=batch.labels_K[place],
        bev_affine_B44=batch.bev_affine_B44[place],
        points_PI=batch.points_PI[place],
    )


def _joined(frames: Sequence[TeacherFrames]) -> TeacherFrames:
    """Single frames as one batch."""

    def join(*parts: Tensor) -> Tensor:
        whole = torch.cat(parts)
        return channels_last(whole) if whole.dim() == 4 else whole  # as the student's maps are

    maps = [
        (frame.teacher_BCHW, frame.label_BCHW, frame.teacher_predictions, frame.occupied_BYX)
        for frame in frames
    ]
    teacher_BCHW, label_BCHW, predictions, occupied_BYX = tree_map(join, *maps)
    return replace(
        frames[0],
        teacher_BCHW=teacher_BCHW,
        label_BCHW=label_BCHW,
        teacher_predictions=predictions,
        occupied_BYX=occupied_BYX,
        boxes_K9=tuple(frame.boxes_K9[0] for frame in frames),
        labels_K=tuple(frame.labels_K[0] for frame in frames),
        targets=tuple(target for frame in frames for target in frame.targets or ()),
    )
