"""The teacher: CenterPoint on dynamic pillars, with mmdet3d's SECOND, SECONDFPN and CenterHead.

Axes: B batch, P points, C channels, Y X rows and columns of the BEV grid.
"""

from __future__ import annotations

from dataclasses import replace

from mmdet3d.models.backbones import SECOND
from mmdet3d.models.necks import SECONDFPN
from torch import Tensor, nn

from dualdistill.config.run_spec import GridSpec, TeacherSpec
from dualdistill.data.batch import Batch, Detections, Output
from dualdistill.models.center_head import Head
from dualdistill.models.centerpoint.pillars import PillarEncoder
from dualdistill.models.layers import channels_last, initialise

NORM = {"type": "BN", "eps": 1e-3, "momentum": 0.01}


class Teacher(nn.Module):
    """LiDAR points -> boxes, velocity in m/s throughout."""

    needs_images, needs_points = False, True

    def __init__(self, spec: TeacherSpec, grid: GridSpec) -> None:
        super().__init__()
        self.spec, self.grid = spec, grid
        self.pillars = PillarEncoder(spec, grid, spec.columns)
        self.backbone = SECOND(
            in_channels=spec.pillar_channels,
            out_channels=list(spec.channels),
            layer_nums=list(spec.layers),
            layer_strides=[2, 2, 2],
            norm_cfg=NORM,
        )
        strides = [spec.pillar_m * 2 ** (i + 1) / grid.cell_m for i in range(len(spec.channels))]
        neck_channels = [spec.neck_channels] * len(spec.channels)
        self.neck = SECONDFPN(
            in_channels=list(spec.channels),
            out_channels=neck_channels,
            upsample_strides=[round(stride) if stride >= 1 else stride for stride in strides],
            norm_cfg=NORM,
            use_conv_for_no_stride=True,
        )
        initialise(self.backbone)
        initialise(self.neck)
        self.head = Head(sum(neck_channels), spec.head, grid)

    def tap_shapes(self) -> dict[str, tuple[int, int, int]]:
        """Channels, rows and columns of every tap."""
        pillars, cells = self.pillars.pillars, self.grid.cells
        shapes = {
            f"t{i + 1}": (channels, pillars >> i + 1, pillars >> i + 1)
            for i, channels in enumerate(self.spec.channels)
        }
        return {**shapes, "neck": (len(self.spec.channels) * self.spec.neck_channels, cells, cells)}

    def forward(self, batch: Batch) -> Output:
        canvas_BCYX = self.pillars(batch.points_PI)
        taps = self.backbone(channels_last(canvas_BCYX))
        named = {f"t{i + 1}": tap_BCYX for i, tap_BCYX in enumerate(taps)}
        return replace(self.read(named), occupied_BYX=canvas_BCYX.detach().any(dim=1))

    def read(self, taps_BCYX: dict[str, Tensor]) -> Output:
        """Run neck and head on the backbone's maps, or on maps of the same shapes."""
        neck_BCYX = self.neck([taps_BCYX[f"t{i + 1}"] for i in range(len(self.spec.channels))])[0]
        return Output({**taps_BCYX, "neck": neck_BCYX}, self.head(neck_BCYX))

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Detection losses, weighted."""
        return self.head.loss(output.predictions, batch.boxes_K9, batch.labels_K)

    def decode(self, output: Output, batch: Batch) -> list[Detections]:
        """Boxes with velocity in m/s; the batch is unused and keeps the signature of all detectors."""
        return self.head.decode(output.predictions)
