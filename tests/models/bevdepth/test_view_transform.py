"""Geometry of the lift, arithmetic of the splat, and both depth losses against plain loops."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from batches import (
    SLIM_GRID,
    SLIM_STUDENT,
    camera_poses,
    image_affines,
    points_on,
    project,
    random_batch,
    random_boxes,
)

from dualdistill.models.bevdepth.geometry import EXACT
from dualdistill.models.bevdepth.view_transform import (
    ViewTransform,
    camera_numbers,
    depth_loss,
    plan_splat,
    splat,
    unproject,
)

INTRINSICS_33 = torch.tensor([[1266.0, 0, 816], [0, 1266, 491], [0, 0, 1]])


def cameras(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Intrinsics, image affines (flips and rotations among them) and poses of one sample, [1, 6, ...]."""
    affines = image_affines(6, 64, 176, torch.Generator().manual_seed(seed))
    return INTRINSICS_33.expand(1, 6, 3, 3), affines[None], camera_poses()[None]


def lifted_points() -> torch.Tensor:
    intrinsics, affines, poses = cameras()
    pixels, depths = (
        EXACT.pixels(4, 11, 16, torch.device("cpu")),
        EXACT.depths((1.0, 30.0, 1.0), torch.device("cpu")),
    )
    return unproject(pixels, depths, intrinsics, affines, poses)


def test_points_lifted_with_their_true_depth_fall_into_the_same_cells_as_by_direct_binning():
    draw = torch.Generator().manual_seed(1)
    boxes, _ = random_boxes(40, 22.0, draw)
    points = points_on(boxes, 40, draw)[:, :3]
    intrinsics, affines, poses = cameras()
    agreeing = lifted_count = 0
    for camera in range(6):
        uvd = project(points, intrinsics[0, camera], affines[0, camera], poses[0, camera])
        visible = (uvd[:, 2] > 1) & (uvd[:, 0] >= 0) & (uvd[:, 0] < 176) & (uvd[:, 1] >= 0) & (uvd[:, 1] < 64)
        uvd = uvd[visible]
        one = slice(camera, camera + 1)
        every_depth = unproject(
            uvd[None, :, :2], uvd[:, 2], intrinsics[:, one], affines[:, one], poses[:, one]
        )
        lifted = every_depth[0, 0, 0].diagonal(dim1=0, dim2=1).T.double().numpy()
        assert np.abs(lifted - points[visible].numpy()).max() < 1e-3
        plan = plan_splat(torch.tensor(lifted, dtype=torch.float32)[None, None, None, :, None], SLIM_GRID)
        counts = splat(torch.ones(1, 1, 1, len(lifted)), torch.ones(1, 1, 1, len(lifted)), plan)[0, 0]
        edges = np.linspace(-25.6, 25.6, 33)
        direct, _, _ = np.histogram2d(points[visible, 1], points[visible, 0], bins=(edges, edges))
        agreeing += np.minimum(direct, counts.numpy()).sum()
        lifted_count += len(lifted)
    assert lifted_count > 500
    assert agreeing / lifted_count > 0.99


def test_cells_lie_at_the_pixels_to_which_depth_targets_are_rounded():
    pixels = EXACT.pixels(4, 11, 16, torch.device("cpu"))
    assert pixels[2, 7].tolist() == [112.0, 32.0]
    assert (pixels / 16).round().long()[3, 10].tolist() == [10, 3]


def test_bins_are_represented_by_their_middle():
    depths = EXACT.depths((2.0, 58.0, 0.5), torch.device("cpu"))
    assert len(depths) == 112
    assert depths[0] == 2.25
    assert depths[-1] == 57.75


def test_augmenting_the_camera_poses_augments_the_lifted_points():
    intrinsics, affines, poses = cameras()
    pixels, depths = EXACT.pixels(4, 11, 16, torch.device("cpu")), torch.tensor([5.0, 20.0])
    sine, cosine = math.sin(0.3), math.cos(0.3)
    augment = 1.05 * torch.tensor([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1.0]])
    augment = augment @ torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    augment_44 = torch.eye(4)
    augment_44[:3, :3] = augment
    plain = unproject(pixels, depths, intrinsics, affines, poses)
    augmented = unproject(pixels, depths, intrinsics, affines, augment_44 @ poses)
    assert torch.allclose(augmented, plain @ augment.T, atol=1e-4)


def volume_splat(context: torch.Tensor, depth: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """The textbook implementation: the whole lifted volume, then index_add."""
    batch, cells = points.shape[0], SLIM_GRID.cells
    volume = depth[:, :, None] * context[:, None]  # [M, D, C, h, w]
    rows = volume.permute(0, 3, 4, 1, 2).reshape(-1, context.shape[1])
    place = torch.floor((points.reshape(-1, 3) + SLIM_GRID.half_extent_m) / SLIM_GRID.cell_m).long()
    inside = ((place[:, :2] >= 0) & (place[:, :2] < cells)).all(1) & (points.reshape(-1, 3)[:, 2].abs() < 10)
    sample = torch.arange(batch).repeat_interleave(len(place) // batch)
    index = (sample * cells + place[:, 1]) * cells + place[:, 0]
    bev = rows.new_zeros(batch * cells**2, context.shape[1]).index_add(0, index[inside], rows[inside])
    return bev.view(batch, cells, cells, -1).permute(0, 3, 1, 2)


def test_the_splat_equals_summing_the_lifted_volume_in_value_and_gradient():
    points = torch.cat([lifted_points(), lifted_points() * 1.1])
    context = torch.randn(12, 5, 4, 11, requires_grad=True)
    depth = torch.randn(12, 29, 4, 11).softmax(1).requires_grad_()
    lean, full = splat(context, depth, plan_splat(points, SLIM_GRID)), volume_splat(context, depth, points)
    assert lean.abs().sum() > 0
    assert torch.allclose(lean, full, atol=1e-5)
    weight = torch.randn_like(lean)
    ours = torch.autograd.grad((lean * weight).sum(), (context, depth))
    reference = torch.autograd.grad((full * weight).sum(), (context, depth))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours, reference, strict=True))


def test_the_splat_has_the_gradients_of_finite_differences():
    points = lifted_points()[:, :1, 1:3, 3:6, ::6]
    context = torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    depth = torch.rand(1, points.shape[4], 2, 3, dtype=torch.float64, requires_grad=True)
    plan = plan_splat(points, SLIM_GRID)
    assert len(plan.point_L) > 0
    assert torch.autograd.gradcheck(lambda c, d: splat(c, d, plan), (context, depth))


def test_a_splat_without_any_point_in_the_grid_is_zero():
    plan = plan_splat(lifted_points() + 1000, SLIM_GRID)
    bev = splat(torch.ones(6, 3, 4, 11), torch.ones(6, 29, 4, 11), plan)
    assert bev.shape == (1, 3, 32, 32)
    assert not bev.any()


def test_camera_numbers_are_the_33_of_the_published_depth_network():
    batch = random_batch(1)
    numbers = camera_numbers(
        batch.intrinsics_BFN33[:, 0], batch.image_affine_BFN33[:, 0], batch.camera_to_lidar_BFN44[:, 0]
    )
    assert numbers.shape == (6, 33)
    affine = batch.image_affine_BFN33[0, 0, 2]
    assert numbers[2, :9].tolist() == INTRINSICS_33.flatten().tolist()
    assert numbers[2, 9:11].tolist() == affine[0, :2].tolist()
    assert numbers[2, 11] == 0
    assert numbers[2, 17] == 1
    assert numbers[2, 18:21].tolist() == [affine[0, 2].item(), affine[1, 2].item(), 0.0]
    assert torch.equal(numbers[2, 30:], batch.camera_to_lidar_BFN44[0, 0, 2, :3, 3])


@pytest.mark.parametrize("flavour", ["bevdet", "megvii"])
def test_the_depth_loss_equals_a_loop_over_cells_and_bins(flavour: str):
    logits = torch.randn(1, 1, 4, 2, 3)
    depth = torch.tensor([[0.0, 2.0, 2.49], [2.5, 3.99, 4.0]])[None, None]  # bins [2, 4) in steps of 0.5
    expected, supervised = 0.0, 0
    for row in range(2):
        for column in range(3):
            metres = depth[0, 0, row, column].item()
            if not 2.0 <= metres < 4.0:
                continue
            supervised += 1
            logits_D = logits[0, 0, :, row, column].double()
            chance = logits_D.sigmoid() if flavour == "bevdet" else logits_D.softmax(0)
            for index in range(4):
                hit = 2.0 + 0.5 * index <= metres < 2.5 + 0.5 * index
                expected -= math.log(chance[index] if hit else 1 - chance[index])
    assert supervised == 4
    expected /= logits.numel() if flavour == "bevdet" else supervised
    assert depth_loss(logits, depth, (2.0, 4.0, 0.5), flavour).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("flavour", ["bevdet", "megvii"])
def test_the_depth_loss_of_a_batch_without_a_lidar_point_is_zero(flavour: str):
    logits = torch.randn(1, 1, 4, 2, 3, requires_grad=True)
    loss = depth_loss(logits, torch.zeros(1, 1, 2, 3), (2.0, 4.0, 0.5), flavour)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_the_depth_loss_runs_in_float32_under_autocast():
    logits = torch.randn(1, 1, 4, 2, 3)
    depth = torch.full((1, 1, 2, 3), 2.7)
    plain = depth_loss(logits.bfloat16().float(), depth, (2.0, 4.0, 0.5), "megvii")
    with torch.autocast("cpu", torch.bfloat16):
        mixed = depth_loss(logits.bfloat16(), depth, (2.0, 4.0, 0.5), "megvii")
    assert mixed.dtype == torch.float32
    assert mixed.item() == plain.item()


def test_the_camera_numbers_change_the_depth_but_not_the_context():
    view = ViewTransform(SLIM_STUDENT, SLIM_GRID).eval()
    image = torch.randn(6, 32, 4, 11)
    intrinsics, affines, poses = cameras()
    numbers = camera_numbers(intrinsics, affines, poses)
    context, logits = view.depth_net(image, numbers)
    other_context, other_logits = view.depth_net(image, numbers * 0.5)
    assert torch.equal(context, other_context)
    assert not torch.allclose(logits, other_logits)


def test_the_deformable_layer_is_a_key_of_the_depth_network():
    image, numbers = torch.randn(6, 32, 4, 11), torch.randn(6, 33)
    with_it, without = (
        ViewTransform(dataclasses.replace(SLIM_STUDENT, depth_deformable=on), SLIM_GRID).depth_net.eval()
        for on in (True, False)
    )
    added = dict(with_it.named_parameters()).keys() - dict(without.named_parameters()).keys()
    assert {name.split(".")[0] for name in added} == {"deformable"}
    without.load_state_dict(with_it.state_dict(), strict=False)
    assert not torch.allclose(with_it(image, numbers)[1], without(image, numbers)[1])
