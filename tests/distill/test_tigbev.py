"""TiG-BEV's three terms with weights and normalisers, against loops and hand-made cases."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from distill import naive_tigbev as naive
from distill import toy
from torch import nn
from torch.nn import functional

from dualdistill.config import method_options
from dualdistill.config.run_spec import GridSpec
from dualdistill.data.batch import ImageDepth
from dualdistill.distill.terms.inner_depth import expected_depth, inner_depth_loss, reference_error
from dualdistill.distill.terms.relations import keypoint_features, keypoints, relation_loss
from dualdistill.distill.tigbev import TiGBEV


def certain(expected_m: list[float], measured_m: list[float], owner: list[int]) -> ImageDepth:
    """One image of a single row of cells; the student is certain of a depth in whole metres below ten."""
    logits = torch.full((10, len(expected_m)), -1e4)
    logits[torch.tensor(expected_m).long(), torch.arange(len(expected_m))] = 0
    return ImageDepth(
        logits_BNDhw=logits[None, None, :, None].requires_grad_(),
        bins_D=torch.arange(10.0),
        target_BNhw=torch.tensor(measured_m)[None, None, None],
        owner_BNhw=torch.tensor(owner)[None, None, None],
    )


def test_every_term_equals_its_loop_with_the_released_weights() -> None:
    pair = toy.in_float64(toy.make_pair())
    torch.manual_seed(1)
    method = toy.bound(TiGBEV(keypoints=5)).double()
    losses = method.losses(pair)
    boxes, half_extent_m = pair.boxes_K9, toy.GRID.half_extent_m
    students = naive.box_features(pair.student_BCHW["head"], boxes, half_extent_m, 5, 1.6)
    teachers = naive.box_features(pair.teacher_BCHW["neck"], boxes, half_extent_m, 5, 1.6)
    adapted = [
        naive.linear(points, method.adapter.weight[:, :, 0], method.adapter.bias) for points in students
    ]
    expected = {
        "inner_depth": 1.0
        * naive.inner_depth(
            pair.depth.logits_BNDhw, pair.depth.bins_D.tolist(), pair.depth.target_BNhw, pair.depth.owner_BNhw
        ),
        "inter_keypoint": 100.0 * naive.relation_loss(students, teachers),
        "inter_channel": 20.0
        * naive.relation_loss(list(map(naive.transposed, adapted)), list(map(naive.transposed, teachers))),
    }
    for name, value in expected.items():
        assert value > 0
        assert losses.pop(name).item() == pytest.approx(value, rel=1e-6)
    assert not losses


def test_defaults_are_the_released_constants() -> None:
    assert method_options.fill("tigbev", {}) == {
        "depth_weight": 1.0,
        "keypoint_weight": 100.0,
        "channel_weight": 20.0,
        "keypoints": 24,
        "enlarge_m": 1.6,
        "channel_norm": False,
    }


def test_depth_is_relative_to_the_best_predicted_cell() -> None:
    # errors 2, 1 and -3 inside the box: relative to the second 1, 0 and -4; outside it nothing counts
    depth = certain([5, 5, 5, 9], [3, 4, 8, 2], [1, 1, 1, 0])
    assert inner_depth_loss(depth).item() == pytest.approx((1 + 0 + 16) / 3)


def test_a_common_offset_of_a_box_has_no_loss() -> None:
    assert inner_depth_loss(certain([5, 6, 7, 2], [3, 4, 5, 2], [1, 1, 1, 2])).item() == pytest.approx(0)


def test_the_reference_cell_gets_no_gradient() -> None:
    depth = certain([5, 5], [3, 4], [1, 1])
    soft = replace(depth, logits_BNDhw=torch.zeros(1, 1, 10, 1, 2, requires_grad=True))  # expects 4.5 m
    inner_depth_loss(soft).backward()
    gradient = soft.logits_BNDhw.grad[0, 0, :, 0]
    assert gradient[:, 0].any()
    assert not gradient[:, 1].any()


def test_every_image_and_box_has_a_reference_of_its_own() -> None:
    error_MP = torch.tensor([[3.0, -1.0, 2.0, 5.0], [4.0, 6.0, 7.0, -8.0]])
    owner_MP = torch.tensor([[1, 1, 2, 0], [1, 1, 0, 2]])
    assert reference_error(error_MP, owner_MP).tolist() == [[-1, -1, 2, 0], [4, 4, 0, -8]]


def test_without_object_cells_the_loss_is_zero() -> None:
    loss = inner_depth_loss(certain([5, 5], [3, 4], [0, 0]))
    assert loss == 0
    assert loss.requires_grad


def test_expected_depth_is_the_mean_of_the_bins() -> None:
    logits_BNDhw = torch.tensor([0.0, math.log(3.0)]).view(1, 1, 2, 1, 1)
    assert expected_depth(logits_BNDhw, torch.tensor([2.0, 6.0])).item() == pytest.approx(5.0)


def test_keypoints_span_the_enlarged_box(grid: GridSpec) -> None:
    box = torch.tensor([[10.0, -20.0, 0, 4.0, 2.0, 1.5, math.pi / 2, 0, 0]])
    metres_P2 = (keypoints(box, grid, 24, 1.6)[0] + 1) / 2 * (grid.cells - 1) * grid.cell_m - 51.2
    assert metres_P2.shape == (576, 2)
    # a quarter turn: the length of 4 + 2 x 1.6 lies along y
    assert metres_P2.amin(dim=0).tolist() == pytest.approx([10 - 2.6, -20 - 3.6], abs=1e-4)
    assert metres_P2.amax(dim=0).tolist() == pytest.approx([10 + 2.6, -20 + 3.6], abs=1e-4)


def test_keypoints_beyond_the_map_move_to_its_border(grid: GridSpec) -> None:
    box = torch.tensor([[51.0, 51.0, 0, 12.0, 3.0, 3.0, 0.3, 0, 0]])
    assert keypoints(box, grid, 24, 1.6).abs().max() == 1


def test_a_box_off_the_diagonal_samples_row_y_and_column_x(toy_grid: GridSpec) -> None:
    feature_BCHW = torch.zeros(1, 1, 16, 16)
    feature_BCHW[0, 0, 3, 12] = 1  # y around -3.6, x around 3.6
    box = torch.tensor([[3.6, -3.8, 0, 1.0, 1.0, 1.5, 0, 0, 0]])
    there = keypoint_features(feature_BCHW, (box,), toy_grid, 5, 0.0)
    mirrored = keypoint_features(feature_BCHW.mT, (box,), toy_grid, 5, 0.0)
    assert there.max() > 0.5
    assert mirrored.max() == 0


@pytest.mark.parametrize("rows", [3, 40])
def test_the_loss_equals_that_of_explicit_relations(rows: int) -> None:
    """With rows fewer than features, more than features, and a row of zeros on either side."""
    student_KRF = torch.randn(2, rows, 8, dtype=torch.float64)
    teacher_KRF = torch.randn(2, rows, 5, dtype=torch.float64)
    student_KRF[0, 1] = teacher_KRF[1, 2] = 0
    student_KRF.requires_grad_()
    relations = [
        functional.normalize(rows_KRF @ rows_KRF.mT, dim=2) for rows_KRF in (student_KRF, teacher_KRF)
    ]
    expected = (relations[0] - relations[1]).square().sum(dim=2).mean()
    loss = relation_loss(student_KRF, teacher_KRF)
    torch.testing.assert_close(loss, expected)
    gradients = [torch.autograd.grad(value, student_KRF)[0] for value in (loss, expected)]
    torch.testing.assert_close(*gradients)


def test_relations_do_not_depend_on_the_feature_space() -> None:
    """A rotation or a factor of the features does not change them."""
    feature_KRF = torch.randn(2, 6, 4, dtype=torch.float64)
    rotation_FF = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64))[0]
    assert relation_loss(3 * feature_KRF @ rotation_FF, feature_KRF).item() == pytest.approx(0, abs=1e-14)


def test_the_teacher_may_have_another_width_and_boxes_may_be_missing() -> None:
    assert relation_loss(torch.randn(2, 6, 4), torch.randn(2, 6, 9)) > 0
    assert relation_loss(torch.randn(0, 6, 4), torch.randn(0, 6, 9)) == 0


@pytest.mark.parametrize("channel_norm", [True, False])
def test_channel_adapter_has_either_a_bias_or_a_norm(channel_norm: bool) -> None:
    method = toy.bound(TiGBEV(channel_norm=channel_norm))
    kinds = [type(module) for module in method.modules() if not list(module.children())]
    assert kinds == ([nn.Conv1d, nn.BatchNorm1d] if channel_norm else [nn.Conv1d])
    conv = next(module for module in method.modules() if isinstance(module, nn.Conv1d))
    assert conv.weight.shape == (12, 8, 1)
    assert (conv.bias is None) is channel_norm
    for counts in ((2, 0, 1), (0, 0, 0)):
        losses = method(toy.make_pair(counts))
        assert all(loss.isfinite() for loss in losses.values())
    assert all(tensor.isfinite().all() for tensor in method.state_dict().values())


def test_the_head_is_not_inherited() -> None:
    torch.manual_seed(0)
    student, teacher = toy.make_head(inputs=8), toy.make_head()
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    TiGBEV().prepare(student, teacher)
    assert all(torch.equal(tensor, before[name]) for name, tensor in student.state_dict().items())
