"""The student: BEVDepth4D of the BEVDet code base, two camera frames, CenterHead.

Axes: B batch, F frames (0 current, 1 previous), N cameras, C channels, Y X rows and columns of the BEV grid.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from dualdistill.config.run_spec import BEVDepthSpec, GridSpec, Stage
from dualdistill.data.batch import Batch, ImageDepth, Output
from dualdistill.models.bevdepth.bev_encoder import BevEncoder, BevNeck, warp_to_current
from dualdistill.models.bevdepth.image_encoder import ImageEncoder
from dualdistill.models.bevdepth.view_transform import ViewTransform, depth_loss
from dualdistill.models.center_head import Head
from dualdistill.models.layers import channels_last, residual_stage
from dualdistill.models.recompute import recompute
from dualdistill.models.student import Shape, Student, require


class BEVDepth(Student):
    """Cameras -> boxes. The previous frame is computed without gradients, as published."""

    spec: BEVDepthSpec

    def __init__(self, spec: BEVDepthSpec, grid: GridSpec) -> None:
        super().__init__(spec, grid)
        self.image_channels = spec.neck_channels
        width = spec.context_channels
        self.image_encoder = ImageEncoder(spec, spec.neck_channels)
        self.view_transform = ViewTransform(spec, grid)
        self.refine = residual_stage(width, width, blocks=2, stride=1)
        self.bev_encoder = BevEncoder(2 * width, spec.bev_channels)
        self.bev_neck = BevNeck(spec.bev_channels, spec.bev_out_channels, spec.extra_norm)
        self.head = Head(spec.bev_out_channels, spec.head, grid)
        for stage in spec.activation_checkpoint:
            recompute(*self._blocks(stage))

    @property
    def backbone(self) -> nn.Module:
        return self.image_encoder.backbone

    def _blocks(self, stage: Stage) -> Iterable[nn.Module]:
        """The blocks of a stage, which are small enough to be computed again one after the other."""
        if stage == "depth_net":
            return [self.view_transform.depth_net]
        if stage == "bev_encoder":
            return [block for blocks in self.bev_encoder.stages for block in blocks.children()]
        if stage == "bev_neck":
            return [self.bev_neck]
        layer: nn.Sequential = getattr(self.backbone, stage)
        return layer

    def tap_shapes(self) -> dict[str, Shape]:
        cells = self.grid.cells
        shapes = {
            f"s{i + 1}": (c, cells >> i + 1, cells >> i + 1) for i, c in enumerate(self.spec.bev_channels)
        }
        both = (2 * self.spec.context_channels, cells, cells)
        return {"s0": both, **shapes, "head": (self.spec.bev_out_channels, cells, cells)}

    def forward(self, batch: Batch) -> Output:
        current_BCYX, depth_logits, image_BNChw = self._frame(batch, 0)
        with torch.no_grad():
            previous_BCYX, _, _ = self._frame(batch, 1)
            motion_B44 = require(batch.previous_to_current_B44, "previous_to_current_B44")
            previous_BCYX = warp_to_current(
                previous_BCYX, motion_B44, self.grid, self.view_transform.geometry
            )
        both_BCYX = channels_last(torch.cat([current_BCYX, previous_BCYX], dim=1))
        taps = self.bev_encoder(both_BCYX)
        head_BCYX = self.bev_neck(taps)
        named = {"s0": both_BCYX, "s1": taps[0], "s2": taps[1], "s3": taps[2], "head": head_BCYX}
        return Output(named, self.head(head_BCYX), depth_logits, image_BNChw)

    def _frame(self, batch: Batch, frame: int) -> tuple[Tensor, Tensor, Tensor]:
        """BEV map in the frame's LIDAR_TOP, depth logits and image map of one frame."""
        images_BNCHW = require(batch.images_BFNCHW, "images_BFNCHW")[:, frame]
        image_MChw = self.image_encoder(torch.cat(tuple(images_BNCHW)))  # keeps the layout, unlike flatten
        poses_BFN44 = require(batch.camera_to_lidar_BFN44, "camera_to_lidar_BFN44")
        bev_BCYX, depth_logits = self.view_transform(
            image_MChw,
            require(batch.intrinsics_BFN33, "intrinsics_BFN33")[:, frame],
            require(batch.image_affine_BFN33, "image_affine_BFN33")[:, frame],
            self.view_transform.geometry.poses(poses_BFN44, frame),
        )
        return self.refine(bev_BCYX), depth_logits, image_MChw.unflatten(0, images_BNCHW.shape[:2])

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        depth = depth_loss(
            require(output.depth_logits_BNDhw, "depth_logits_BNDhw"),
            require(batch.depth_BNhw, "depth_BNhw"),
            self.spec.depth_bins_m,
            self.spec.depth_loss,
        )
        return {**self.detection_losses(output, batch), "depth": self.spec.depth_weight * depth}

    def image_depth(self, output: Output, batch: Batch) -> ImageDepth:
        """Predicted and measured depth; cells beyond the bins belong to no box."""
        lower, upper, _ = self.spec.depth_bins_m
        logits_BNDhw = require(output.depth_logits_BNDhw, "depth_logits_BNDhw")
        depth_BNhw, owner_BNhw = (
            require(batch.depth_BNhw, "depth_BNhw"),
            require(batch.owner_BNhw, "owner_BNhw"),
        )
        reached_BNhw = (depth_BNhw >= lower) & (depth_BNhw < upper)
        bins_D = self.view_transform.geometry.depths(self.spec.depth_bins_m, logits_BNDhw.device)
        return ImageDepth(logits_BNDhw, bins_D, depth_BNhw, owner_BNhw * reached_BNhw)
