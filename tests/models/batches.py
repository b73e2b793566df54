"""Random but consistent batches: six cameras at nuScenes-like poses, boxes, points on them, depth targets.

Axes as in dualdistill/data/batch.py.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dualdistill.config.nuscenes import CLASSES
from dualdistill.config.run_spec import BEVDepthSpec, GridSpec, HeadSpec, TeacherHeadSpec, TeacherSpec
from dualdistill.data.batch import Batch
from dualdistill.models.center_head import REGRESSION, TASK_SIZES
from dualdistill.models.center_targets import centre_targets

SIZES_M = torch.tensor(  # length, width, height of CLASSES
    [
        [4.6, 1.9, 1.7],
        [6.9, 2.5, 2.8],
        [6.4, 2.8, 3.2],
        [11.0, 2.9, 3.5],
        [12.3, 2.9, 3.9],
        [0.5, 2.5, 1.0],
        [2.1, 0.8, 1.5],
        [1.7, 0.6, 1.3],
        [0.7, 0.7, 1.8],
        [0.4, 0.4, 1.1],
    ]
)
CAMERA_YAWS_DEG = (
    55.0,
    0.0,
    -55.0,
    110.0,
    180.0,
    -110.0,
)  # CAMERAS, from straight ahead, counter-clockwise
GROUND_M = -1.84

SLIM_GRID = GridSpec(half_extent_m=25.6, cell_m=1.6)
SLIM_STUDENT = BEVDepthSpec(
    width=8,
    neck_channels=32,
    depth_channels=32,
    context_channels=16,
    depth_bins_m=(1.0, 36.0, 1.0),
    bev_channels=(16, 32, 64),
    bev_out_channels=32,
    head=HeadSpec(share_channels=16),
)
SLIM_TEACHER = TeacherSpec(
    pillar_m=0.4,
    pillar_channels=16,
    layers=(1, 2, 2),
    channels=(16, 32, 64),
    neck_channels=16,
    head=TeacherHeadSpec(share_channels=16),
)


def camera_poses() -> Tensor:
    """Camera to LIDAR_TOP for the six cameras, [N, 4, 4]."""
    poses_N44 = torch.eye(4).repeat(6, 1, 1)
    for pose_44, degrees in zip(poses_N44, CAMERA_YAWS_DEG, strict=True):
        sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
        right, down, ahead = (cosine, sine, 0.0), (0.0, 0.0, -1.0), (-sine, cosine, 0.0)
        pose_44[:3, :3] = torch.tensor([right, down, ahead]).T
        pose_44[:3, 3] = torch.tensor([-0.8 * sine, 0.8 * cosine, -0.3])
    return poses_N44


def image_affines(count: int, height: int, width: int, draw: torch.Generator) -> Tensor:
    """Stored pixel of a 900 x 1600 image -> network pixel: resize, crop, flip, rotation, [count, 3, 3]."""
    affines = []
    for jitter, flip, turn in torch.rand(count, 3, generator=draw).tolist():
        scale = width / 1600 * (1.0 + 0.1 * jitter)
        cropped = torch.tensor([[scale, 0, 0], [0, scale, height - 900 * scale], [0, 0, 1]])
        mirrored = torch.tensor([[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]]) if flip > 0.5 else torch.eye(3)
        angle = math.radians(5.4) * (2 * turn - 1)
        sine, cosine = math.sin(angle), math.cos(angle)
        middle = torch.tensor([[1.0, 0, width / 2], [0, 1, height / 2], [0, 0, 1]])
        turned = middle @ torch.tensor([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ middle.inverse()
        affines.append(turned @ mirrored @ cropped)
    return torch.stack(affines)


def random_boxes(count: int, reach_m: float, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Boxes of all classes on the ground, no two centres close to each other, and their labels."""
    labels_K = torch.arange(count) % len(CLASSES)
    side = math.ceil(math.sqrt(count))
    places_K = torch.randperm(side**2, generator=draw)[:count]
    spacing_m = 2 * reach_m / side
    corner_K2 = torch.stack([places_K % side, places_K // side], dim=1) * spacing_m - reach_m
    centre_K2 = corner_K2 + spacing_m * (0.25 + 0.5 * torch.rand(count, 2, generator=draw))
    size_K3 = SIZES_M[labels_K] * (0.9 + 0.2 * torch.rand(count, 3, generator=draw))
    yaw_K1 = (2 * torch.rand(count, 1, generator=draw) - 1) * math.pi
    velocity_K2 = torch.randn(count, 2, generator=draw) * 2
    z_K1 = GROUND_M + size_K3[:, 2:] / 2
    return torch.cat([centre_K2, z_K1, size_K3, yaw_K1, velocity_K2], dim=1), labels_K


def points_on(boxes_K9: Tensor, per_box: int, draw: torch.Generator) -> Tensor:
    """Points inside the boxes, [P, 5]."""
    local_KS3 = (torch.rand(len(boxes_K9), per_box, 3, generator=draw) - 0.5) * boxes_K9[:, None, 3:6]
    sine_K1, cosine_K1 = boxes_K9[:, 6:7].sin(), boxes_K9[:, 6:7].cos()
    x_KS = local_KS3[..., 0] * cosine_K1 - local_KS3[..., 1] * sine_K1
    y_KS = local_KS3[..., 0] * sine_K1 + local_KS3[..., 1] * cosine_K1
    xyz_KS3 = torch.stack([x_KS, y_KS, local_KS3[..., 2]], dim=-1) + boxes_K9[:, None, :3]
    other_KS2 = torch.rand(len(boxes_K9), per_box, 2, generator=draw) * torch.tensor([255.0, 0.5])
    return torch.cat([xyz_KS3, other_KS2], dim=-1).flatten(0, 1)


def project(
    points_P3: Tensor, intrinsics_33: Tensor, affine_33: Tensor, camera_to_lidar_44: Tensor
) -> Tensor:
    """Network pixel and depth of points, [P, 3]."""
    lidar_to_camera_44 = torch.linalg.inv(camera_to_lidar_44)
    camera_P3 = points_P3 @ lidar_to_camera_44[:3, :3].T + lidar_to_camera_44[:3, 3]
    stored_P3 = camera_P3 @ intrinsics_33.T
    network_P3 = (stored_P3 / camera_P3[:, 2:]) @ affine_33.T
    return torch.cat([network_P3[:, :2], camera_P3[:, 2:]], dim=1)


def depth_target(points_P3: Tensor, height: int, width: int, stride: int, *camera: Tensor) -> Tensor:
    """Nearest depth per cell of the lifted map, 0 without a point, [h, w]."""
    depth_hw = torch.full((height // stride, width // stride), torch.inf)
    for u, v, depth in project(points_P3, *camera).tolist():
        row, column = round(v / stride), round(u / stride)
        if depth > 0 and 0 <= row < depth_hw.shape[0] and 0 <= column < depth_hw.shape[1]:
            depth_hw[row, column] = min(depth, depth_hw[row, column].item())
    return depth_hw.nan_to_num(posinf=0.0)


def random_batch(
    size: int = 2,
    *,
    grid: GridSpec = SLIM_GRID,
    image: tuple[int, int] = (64, 176),
    boxes: int = 12,
    per_box: int = 60,
    stride: int = 16,
    seed: int = 0,
) -> Batch:
    """A batch of noise images whose other fields are consistent."""
    draw = torch.Generator().manual_seed(seed)
    pairs = [random_boxes(boxes, 0.9 * grid.half_extent_m, draw) for _ in range(size)]
    points_P5 = tuple(points_on(boxes_K9, per_box, draw) for boxes_K9, _ in pairs)
    intrinsics = torch.tensor([[1266.0, 0, 816], [0, 1266, 491], [0, 0, 1]]).expand(size, 2, 6, 3, 3)
    affines = image_affines(size * 12, *image, draw).view(size, 2, 6, 3, 3)
    poses = camera_poses().expand(size, 2, 6, 4, 4)
    motion_44 = torch.eye(4)
    motion_44[:2, 3] = torch.tensor([0.2, -3.0])  # the car drove forward
    depth = [
        depth_target(
            points_P5[b][:, :3], *image, stride, intrinsics[b, 0, n], affines[b, 0, n], poses[b, 0, n]
        )
        for b in range(size)
        for n in range(6)
    ]
    return Batch(
        tokens=tuple(f"sample-{i}" for i in range(size)),
        boxes_K9=tuple(boxes_K9 for boxes_K9, _ in pairs),
        labels_K=tuple(labels for _, labels in pairs),
        bev_affine_B44=torch.eye(4).repeat(size, 1, 1),
        points_PI=points_P5,
        images_BFNCHW=torch.randn(size, 2, 6, 3, *image, generator=draw),
        intrinsics_BFN33=intrinsics,
        image_affine_BFN33=affines,
        camera_to_lidar_BFN44=poses,
        previous_to_current_B44=motion_44.repeat(size, 1, 1),
        history_s_B=torch.linspace(0.75, 1.5, size),
        depth_BNhw=torch.stack(depth).view(size, 6, image[0] // stride, image[1] // stride),
    )


def perfect_predictions(
    boxes_K9: tuple[Tensor, ...], labels_K: tuple[Tensor, ...], grid: GridSpec
) -> list[dict[str, Tensor]]:
    """Head outputs that decode to exactly these boxes."""
    targets = centre_targets(boxes_K9, labels_K, grid)
    values = torch.zeros(len(boxes_K9), 10, grid.cells, grid.cells)
    values[targets.sample_K, :, targets.row_K, targets.column_K] = targets.values_K10
    logits = targets.heatmap_BGYX.clamp(1e-4, 1 - 1e-4).logit()
    maps = dict(zip(REGRESSION, values.split(list(REGRESSION.values()), dim=1), strict=True))
    return [{**maps, "heatmap": task} for task in logits.split(TASK_SIZES, dim=1)]
