"""The protocol of camera students, which training, distillation, prediction and the probes rely on.

Taps and predictions lie on the BEV grid of the key frame's augmented LIDAR_TOP, which the teacher shares. A
student that works in another frame, such as the ego vehicle's, resamples its BEV maps before it returns them.
The head regresses displacement in metres since the previous frame, not velocity: methods that compare it with
the teacher's convert. Axes: B batch, N cameras, C channels, h w cells of the image map, K boxes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

import torch
from torch import Tensor, nn

from dualdistill.config.run_spec import GridSpec, InputSpec, StudentSpec
from dualdistill.data.batch import SHORTEST_HISTORY_S, Batch, Detections, ImageDepth, Output
from dualdistill.models.center_head import Head

Shape = tuple[int, int, int]  # channels, rows, columns


class Student(nn.Module, ABC):
    """A network from images to boxes. Initial weights depend only on seed, spec and grid."""

    needs_images, needs_points = True, False
    head: Head  # distillation methods may copy the teacher's into it
    image_channels: int  # of the image map

    def __init__(self, spec: StudentSpec, grid: GridSpec) -> None:
        super().__init__()
        self.spec, self.grid = spec, grid

    @property
    @abstractmethod
    def backbone(self) -> nn.Module:
        """The ResNet that pre-trained and ImageNet weights are loaded into."""

    @abstractmethod
    def tap_shapes(self) -> dict[str, Shape]:
        """Shapes of the BEV maps that methods read: s0 to s3, and `head`, the input of the head."""

    @abstractmethod
    def forward(self, batch: Batch) -> Output:
        """Taps, predictions, depth logits and the image map of the key frame."""

    @abstractmethod
    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Weighted losses by name: those of detection, and the student's own such as depth."""

    @abstractmethod
    def image_depth(self, output: Output, batch: Batch) -> ImageDepth:
        """Predicted and measured depth of the image map's cells."""

    def detection_losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Heatmap and box losses of the head."""
        boxes_K9 = displaced(batch.boxes_K9, require(batch.history_s_B, "history_s_B"))
        return self.head.loss(output.predictions, boxes_K9, batch.labels_K)

    def decode(self, output: Output, batch: Batch) -> list[Detections]:
        """Boxes of each sample, velocity in m/s."""
        samples = zip(
            self.head.decode(output.predictions), require(batch.history_s_B, "history_s_B"), strict=True
        )
        return [
            replace(boxes, boxes_K9=_with_velocity(boxes.boxes_K9, boxes.boxes_K9[:, 7:] * _rate(history_s)))
            for boxes, history_s in samples
        ]

    def image_shape(self, size: InputSpec) -> Shape:
        """Shape of the image map."""
        stride = self.spec.feature_stride
        return self.image_channels, size.image_height // stride, size.image_width // stride


def require(tensor: Tensor | None, name: str) -> Tensor:
    """Return the tensor; raise an error that names it if the batch lacks it."""
    if tensor is None:
        raise ValueError(f"a student needs {name}, which this batch does not have")
    return tensor


def displaced(boxes_K9: tuple[Tensor, ...], history_s_B: Tensor) -> tuple[Tensor, ...]:
    """Replace velocity by displacement since the previous frame; NaN if both frames are the same."""
    return tuple(
        _with_velocity(sample_K9, sample_K9[:, 7:] * seconds)
        for sample_K9, seconds in zip(boxes_K9, frame_interval(history_s_B), strict=True)
    )


def frame_interval(history_s_B: Tensor) -> Tensor:
    """Factor from velocity to displacement since the previous frame; NaN if both frames are the same."""
    return history_s_B.masked_fill(history_s_B.abs() < SHORTEST_HISTORY_S, torch.nan)


def _rate(history_s: Tensor) -> Tensor:
    """Factor from displacement to velocity; zero if both frames are the same."""
    return torch.where(history_s.abs() < SHORTEST_HISTORY_S, torch.zeros_like(history_s), 1 / history_s)


def _with_velocity(boxes_K9: Tensor, last_K2: Tensor) -> Tensor:
    return torch.cat([boxes_K9[:, :7], last_K2], dim=1)
