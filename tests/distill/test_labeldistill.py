"""LabelDistill against loops, its released constants, and the channels that each teacher trains."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from distill import naive, toy
from distill import naive_labeldistill as loops
from torch import Tensor, nn

from dualdistill.config import method_options
from dualdistill.distill.inputs import FeaturePair
from dualdistill.distill.labeldistill import LabelDistill, feature_loss, part_widths
from dualdistill.distill.terms.label_response import box_response, heatmap_response
from dualdistill.errors import UserError
from dualdistill.models.center_targets import centre_targets

LEVELS = (("s0", "t2"), ("s1", "t3"))


def make() -> LabelDistill:
    """In float64, with batch norms that change the values."""
    torch.manual_seed(1)
    method = toy.bound(LabelDistill()).double()
    assert isinstance(method, LabelDistill)
    for norm in (module for module in method.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.normal_(norm.weight, 1.0)
        nn.init.normal_(norm.bias)
    return method


@pytest.fixture
def pair() -> FeaturePair:
    """With an unknown velocity, and a sample whose two frames are the same."""
    toy_pair = toy.in_float64(toy.make_pair())
    boxes_K9 = tuple(boxes.clone() for boxes in toy_pair.boxes_K9)
    boxes_K9[0][0, 7] = math.nan
    return replace(
        toy_pair, boxes_K9=boxes_K9, history_s_B=torch.tensor([1.5, 0.75, 0.0], dtype=torch.float64)
    )


def naive_adapted(adapter: nn.Sequential, part_BCHW: Tensor) -> loops.Maps:
    conv, norm, _, block = adapter
    maps = loops.conv3x3(part_BCHW.tolist(), conv.weight, conv.bias, replicate=True)
    maps = loops.relu(loops.batch_norm(maps, norm.weight, norm.bias))
    inner = loops.conv3x3(maps, block.conv1.weight, None, replicate=False)
    inner = loops.relu(loops.batch_norm(inner, block.bn1.weight, block.bn1.bias))
    inner = loops.conv3x3(inner, block.conv2.weight, None, replicate=False)
    return loops.relu(loops.add(maps, loops.batch_norm(inner, block.bn2.weight, block.bn2.bias)))


def test_every_term_equals_its_loop_with_the_released_weights(pair: FeaturePair) -> None:
    method = make()
    losses = method.losses(pair)
    heatmap_BNHW = pair.teacher_head.heatmaps(pair.boxes_K9, pair.labels_K).double()
    teachers = {"label": pair.label_BCHW, "lidar": pair.teacher_BCHW}
    # 7 channels at s0 and 4 at s1: the first parts are wider
    shares = {"s0": {"label": (0, 3), "lidar": (3, 5)}, "s1": {"label": (0, 2), "lidar": (2, 3)}}
    for tap, target in LEVELS:
        size = pair.student_BCHW[tap].shape[2]
        near = [naive.upsample(heatmap_HW[None], size)[0] for heatmap_HW in heatmap_BNHW.sum(dim=1)]
        masks = {
            "lidar": near,
            "label": [[[float(value > 0) for value in row] for row in map_HW] for map_HW in near],
        }
        for source, (first, last) in shares[tap].items():
            adapted = naive_adapted(method.adapters[f"{source}_{tap}"], pair.student_BCHW[tap][:, first:last])
            value = 0.3 * loops.feature_loss(adapted, teachers[source][target].tolist(), masks[source])
            assert value > 0
            assert losses.pop(f"{source}_{tap}").item() == pytest.approx(value, rel=1e-6)
    predictions = (pair.student_predictions, pair.teacher_predictions)
    value = loops.heatmap_response(*predictions, heatmap_BNHW)
    assert losses.pop("response_heatmap").item() == pytest.approx(value, rel=1e-6)
    where = (pair.boxes_K9, pair.labels_K, pair.history_s_B.tolist(), 6.4, 0.8)
    assert losses.pop("response_box").item() == pytest.approx(
        loops.box_response(*predictions, *where), rel=1e-6
    )
    assert not losses


def test_defaults_are_the_released_constants() -> None:
    assert method_options.fill("labeldistill", {}) == {
        "lidar_weight": 0.3,
        "label_weight": 0.3,
        "response_weight": 1.0,
    }


@pytest.mark.parametrize(
    ("channels", "widths"), [(6, [2, 2, 2]), (7, [3, 2, 2]), (8, [3, 3, 2]), (128, [43, 43, 42])]
)
def test_each_part_has_a_third_of_the_channels(channels: int, widths: list[int]) -> None:
    assert part_widths(channels) == widths


@pytest.mark.parametrize(
    ("source", "learns"), [("label", range(3)), ("lidar", range(3, 5)), ("response", ())]
)
def test_each_source_trains_only_its_channels(source: str, learns: range) -> None:
    pair, method = toy.make_pair(), toy.bound(LabelDistill())
    losses = method(pair)
    sum(loss for name, loss in losses.items() if name.startswith(source)).backward()
    gradient = pair.student_BCHW["s0"].grad
    touched = [] if gradient is None else [c for c in range(7) if gradient[:, c].any()]
    assert touched == list(learns)
    # the other maps are trained by the detection loss only
    assert pair.student_BCHW["s2"].grad is None


def test_perfect_imitation_has_no_loss() -> None:
    teacher_BCHW, mask_B1HW = torch.randn(2, 3, 4, 4), torch.rand(2, 1, 4, 4)
    assert feature_loss(teacher_BCHW, teacher_BCHW, mask_B1HW) == 0
    # one cell off by two in all three channels
    student_BCHW = teacher_BCHW.clone()
    student_BCHW[1, :, 2, 3] += 2
    expected = 12 * mask_B1HW[1, 0, 2, 3] / mask_B1HW.sum()
    torch.testing.assert_close(feature_loss(student_BCHW, teacher_BCHW, mask_B1HW), expected)


def test_the_heatmap_response_only_lowers_scores() -> None:
    pair = toy.make_pair()
    heatmap_BNHW = pair.teacher_head.heatmaps(pair.boxes_K9, pair.labels_K)
    student = [{"heatmap": task["heatmap"].detach().requires_grad_()} for task in pair.student_predictions]
    sure = [{"heatmap": torch.full_like(task["heatmap"], 20.0)} for task in pair.teacher_predictions]
    heatmap_response(student, sure, heatmap_BNHW).backward()
    assert all((task["heatmap"].grad >= 0).all() for task in student)
    peaks_BNHW = heatmap_BNHW == 1
    gradient_BNHW = torch.cat([task["heatmap"].grad for task in student], dim=1)
    assert gradient_BNHW[peaks_BNHW].max() < 1e-12 < gradient_BNHW[heatmap_BNHW == 0].min()


def test_a_teacher_in_metres_per_second_agrees_with_a_student_in_metres() -> None:
    pair = toy.make_pair()
    history_s_B = torch.tensor([0.5, 1.0, 2.0])
    agreeing = [
        task | {"vel": task["vel"] * history_s_B[:, None, None, None]} for task in pair.teacher_predictions
    ]
    targets = centre_targets(pair.boxes_K9, pair.labels_K, pair.grid)
    assert box_response(agreeing, pair.teacher_predictions, targets, history_s_B) == 0
    assert box_response(agreeing, pair.teacher_predictions, targets, 2 * history_s_B) > 0


def test_maps_of_another_size_are_refused() -> None:
    shapes = toy.TEACHER_SHAPES | {"t2": (4, 32, 32)}
    with pytest.raises(UserError, match="the student's s0 has 16 rows, the teacher's t2 has 32"):
        LabelDistill().bind(toy.STUDENT_SHAPES, shapes)


def test_the_head_is_not_inherited() -> None:
    torch.manual_seed(0)
    student, teacher = toy.make_head(inputs=8), toy.make_head()
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    LabelDistill().prepare(student, teacher)
    assert all(torch.equal(tensor, before[name]) for name, tensor in student.state_dict().items())
