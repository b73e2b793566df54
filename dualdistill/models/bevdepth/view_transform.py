"""From camera features to the BEV map: camera-aware depth, lift, splat.

Axes: B batch, N cameras, M = B x N images, C channels, h w cells of the lifted map, D depth bins,
P = M x h x w pixels, Q = P x D lifted points, L those that fall into the grid, Y X rows and columns of the
BEV grid.
Where points, bins and cells stand is a key, see geometry.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualdistill.config.run_spec import BEVDepthSpec, GridSpec
from dualdistill.distributed import normaliser
from dualdistill.models.bevdepth.deformable import DeformableConv
from dualdistill.models.bevdepth.geometry import EXACT, GEOMETRIES, Geometry, depth_bin_count
from dualdistill.models.layers import residual_stage

# intrinsics 9, image-affine rotation 9 and shift 3, camera-to-LiDAR rotation 9 and shift 3
CAMERA_NUMBERS = 33


def camera_numbers(intrinsics_BN33: Tensor, affine_BN33: Tensor, camera_to_lidar_BN44: Tensor) -> Tensor:
    """Camera parameters as input of the depth network, [M, 33]."""
    rotation_BN33, shift_BN3 = affine_BN33.clone(), affine_BN33[..., 2].clone()
    rotation_BN33[..., :2, 2] = 0
    shift_BN3[..., 2] = 0
    parts = (
        intrinsics_BN33.flatten(2),
        rotation_BN33.flatten(2),
        shift_BN3,
        camera_to_lidar_BN44[..., :3, :3].flatten(2),
        camera_to_lidar_BN44[..., :3, 3],
    )
    return torch.cat(parts, dim=-1).flatten(0, 1)


class DepthNet(nn.Module):
    """Context features and depth logits; a gate computed from the camera parameters scales the depth branch.

    The published deformable convolution is a key: with that of Megvii's BEVDepth, users report that training
    diverges (its issues 24 and 36).
    """

    def __init__(self, spec: BEVDepthSpec) -> None:
        super().__init__()
        width = spec.depth_channels
        self.context = nn.Conv2d(spec.neck_channels, spec.context_channels, 1)
        self.reduce = nn.Conv2d(spec.neck_channels, width, 1)
        self.gate = nn.Sequential(
            nn.BatchNorm1d(CAMERA_NUMBERS), nn.Linear(CAMERA_NUMBERS, width), nn.Sigmoid()
        )
        self.trunk = residual_stage(width, width, blocks=3, stride=1)
        self.deformable = nn.Sequential()
        if spec.depth_deformable:
            sample_again = bool(spec.activation_checkpoint)  # whichever stages are checkpointed
            self.deformable.extend([DeformableConv(width, sample_again), nn.BatchNorm2d(width)])
        self.logits = nn.Conv2d(width, depth_bin_count(spec.depth_bins_m), 1)

    def forward(self, image_MChw: Tensor, camera_M33: Tensor) -> tuple[Tensor, Tensor]:
        gate_MC11 = self.gate(camera_M33)[:, :, None, None]
        depth_MChw = self.trunk(self.reduce(image_MChw) * gate_MC11)
        return self.context(image_MChw), self.logits(self.deformable(depth_MChw))


def unproject(
    pixels_hw2: Tensor,
    depths_D: Tensor,
    intrinsics_BN33: Tensor,
    affine_BN33: Tensor,
    camera_to_lidar_BN44: Tensor,
) -> Tensor:
    """Network pixels at the given depths -> points in augmented LIDAR_TOP, [B, N, h, w, D, 3]."""
    homogeneous_hw3 = F.pad(pixels_hw2, (0, 1), value=1.0)
    to_ray_BN33 = torch.linalg.inv(intrinsics_BN33) @ torch.linalg.inv(affine_BN33)
    to_ray_BN33 = camera_to_lidar_BN44[..., :3, :3] @ to_ray_BN33
    rays_BNhw3 = torch.einsum("bnij,hwj->bnhwi", to_ray_BN33, homogeneous_hw3)
    origin_BN3 = camera_to_lidar_BN44[..., :3, 3]
    return rays_BNhw3[..., None, :] * depths_D[:, None] + origin_BN3[:, :, None, None, None, :]


@dataclass(frozen=True)
class Splat:
    """Assignment of lifted points to BEV cells, sorted by cell; depends on the calibration alone."""

    pixel_L: Tensor  # index into the P pixels
    point_L: Tensor  # index into the P x D lifted points
    start_cells: Tensor  # where each cell's points start in the two lists above
    batch: int
    cells: int


@torch.no_grad()
def plan_splat(points_BNhwD3: Tensor, grid: GridSpec, geometry: Geometry = EXACT) -> Splat:
    """Assign lifted points to cells; points outside the grid or the geometry's heights are dropped."""
    batch, bins = points_BNhwD3.shape[0], points_BNhwD3.shape[4]
    flat_3Q = points_BNhwD3.reshape(-1, 3).T
    column_Q = geometry.cut((flat_3Q[0] + grid.half_extent_m) / grid.cell_m)
    row_Q = geometry.cut((flat_3Q[1] + grid.half_extent_m) / grid.cell_m)
    inside_Q = (column_Q >= 0) & (column_Q < grid.cells) & (row_Q >= 0) & (row_Q < grid.cells)
    inside_Q &= (flat_3Q[2] >= geometry.z_range_m[0]) & (flat_3Q[2] < geometry.z_range_m[1])
    point_L = inside_Q.nonzero().squeeze(1)
    sample_L = point_L // (flat_3Q.shape[1] // batch)
    cell_L = (sample_L * grid.cells + row_Q[point_L].long()) * grid.cells + column_Q[point_L].long()
    cell_L, order_L = torch.sort(cell_L, stable=True)
    point_L = point_L[order_L]
    every_cell = torch.arange(batch * grid.cells**2, device=cell_L.device)
    return Splat(point_L // bins, point_L, torch.searchsorted(cell_L, every_cell), batch, grid.cells)


def splat(context_MChw: Tensor, depth_MDhw: Tensor, plan: Splat) -> Tensor:
    """Sum of context x depth over the points of each cell, [B, C, Y, X], without building the volume.

    An embedding bag is gather, scale and segment sum in one operation with gradients to both factors: exact,
    deterministic on a CPU, several times faster than gather and index_add, and summed in the dtype of the
    depth, which is float32 under autocast too.
    """
    context_PC = context_MChw.permute(0, 2, 3, 1).reshape(-1, context_MChw.shape[1]).to(depth_MDhw.dtype)
    depth_L = depth_MDhw.permute(0, 2, 3, 1).reshape(-1)[plan.point_L]
    summed = F.embedding_bag(
        plan.pixel_L, context_PC, plan.start_cells, mode="sum", per_sample_weights=depth_L
    )
    return summed.view(plan.batch, plan.cells, plan.cells, -1).permute(0, 3, 1, 2)


class ViewTransform(nn.Module):
    """Image features of all cameras -> BEV map and depth logits."""

    def __init__(self, spec: BEVDepthSpec, grid: GridSpec) -> None:
        super().__init__()
        self.bins_m, self.stride, self.grid = spec.depth_bins_m, spec.feature_stride, grid
        self.geometry = GEOMETRIES[spec.geometry]
        self.depth_net = DepthNet(spec)

    def forward(
        self,
        image_MChw: Tensor,
        intrinsics_BN33: Tensor,
        affine_BN33: Tensor,
        camera_to_lidar_BN44: Tensor,
    ) -> tuple[Tensor, Tensor]:
        numbers_M33 = camera_numbers(intrinsics_BN33, affine_BN33, camera_to_lidar_BN44)
        context_MChw, logits_MDhw = self.depth_net(image_MChw, numbers_M33)
        height, width = image_MChw.shape[2:]
        pixels_hw2 = self.geometry.pixels(height, width, self.stride, image_MChw.device)
        depths_D = self.geometry.depths(self.bins_m, image_MChw.device)
        with torch.autocast(image_MChw.device.type, enabled=False):
            points = unproject(pixels_hw2, depths_D, intrinsics_BN33, affine_BN33, camera_to_lidar_BN44)
            plan = plan_splat(points, self.grid, self.geometry)
            bev_BCYX = splat(context_MChw, logits_MDhw.float().softmax(dim=1), plan)
        cameras = intrinsics_BN33.shape[1]
        return bev_BCYX, logits_MDhw.unflatten(0, (-1, cameras))


def depth_loss(
    logits_BNDhw: Tensor, depth_BNhw: Tensor, bins_m: tuple[float, float, float], flavour: str
) -> Tensor:
    """Cross-entropy of the bins against the LiDAR; cells without a point within the bins are ignored.

    bevdet: sigmoid, mean over all entries, including cells without a point, so the loss scales with the
    LiDAR's coverage. megvii: softmax, sum over the bins and mean over the cells with a point.
    """
    lower, upper, step = bins_m
    logits_CD = logits_BNDhw.movedim(2, -1).float()
    hit_BNhw = (depth_BNhw >= lower) & (depth_BNhw < upper)
    logits_HD = logits_CD[hit_BNhw]
    index_H = ((depth_BNhw[hit_BNhw] - lower) / step).long().clamp(max=logits_HD.shape[1] - 1)
    target_HD = F.one_hot(index_H, logits_HD.shape[1]).float()
    with torch.autocast(logits_HD.device.type, enabled=False):
        if flavour == "bevdet":
            return (
                F.binary_cross_entropy_with_logits(logits_HD, target_HD, reduction="sum") / logits_CD.numel()
            )
        summed = F.binary_cross_entropy(logits_HD.softmax(dim=1), target_HD, reduction="sum")
        return summed / normaliser(len(index_H))
