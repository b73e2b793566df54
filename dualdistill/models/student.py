"""The protocol of camera students, which training, distillation, prediction and the probes rely on.

Taps and predictions lie on the BEV grid of the key frame's augmented LIDAR_TOP, which the teacher shares. A
student that works in another frame, such as the ego vehicle's, resamples its BEV maps before it returns them.
Axes: B batch, N cameras, C channels, h w cells of the image map, K boxes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from dualdistill.config.run_spec import GridSpec, InputSpec, StudentSpec
from dualdistill.data.batch import Batch, Detections, ImageDepth, Output
from dualdistill.models.center_head import Head

Shape = tuple[int, int, int]  # channels, rows, columns


class Student(nn.Module, ABC):
    """A network from images to boxes. Its weights are drawn in a fixed order, by spec and grid alone."""

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
        """Detection losses, and those of the student's own such as depth, weighted."""

    @abstractmethod
    def image_depth(self, output: Output, batch: Batch) -> ImageDepth:
        """Predicted and measured depth of the image map's cells."""

    @abstractmethod
    def decode(self, output: Output, batch: Batch) -> list[Detections]:
        """Boxes of each sample, velocity in m/s."""

    def image_shape(self, size: InputSpec) -> Shape:
        """Shape of the image map."""
        stride = self.spec.feature_stride
        return self.image_channels, size.image_height // stride, size.image_width // stride
