"""DistillBEV as a whole against loops, its released constants, and the switches of its control rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from distill import naive, toy
from torch import Tensor, nn

from dualdistill.config import method_options
from dualdistill.distill.alignment import OneByOne, UpsampleConv
from dualdistill.distill.distillbev import DistillBEV
from dualdistill.distill.dualdistill import DualDistill
from dualdistill.distill.inputs import LEVELS, FeaturePair

TAPS = ("s2", "s3", "head")


def make(**options: Any) -> DistillBEV:
    """In float64, with batch norms that change the values."""
    torch.manual_seed(1)
    method = toy.bound(DistillBEV(**options)).double()
    assert isinstance(method, DistillBEV)
    for norm in (module for module in method.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.normal_(norm.weight, 1.0)
        nn.init.normal_(norm.bias)
    return method


def naive_aligned(method: DistillBEV, pair: FeaturePair, tap: str, target: str) -> Tensor:
    """The adapter of one level as loops over cells and channels."""
    adapter, student_BCHW = method.adapters[tap], pair.student_BCHW[tap]
    if tap == "head":
        mixed = [
            sum(weight * student_BCHW[:, channel] for channel, weight in enumerate(weight_I)) + bias
            for weight_I, bias in zip(adapter.weight[:, :, 0, 0].tolist(), adapter.bias.tolist(), strict=True)
        ]
        return torch.stack(mixed, dim=1)
    maps = [naive.upsample(student_CHW, pair.teacher_BCHW[target].shape[2]) for student_CHW in student_BCHW]
    for conv, norm, _ in adapter.convs:
        maps = naive.conv_norm_relu(maps, conv.weight[:, :, 0, 0], norm.weight, norm.bias)
    return torch.tensor(maps, dtype=torch.float64)


def naive_scales(
    pair: FeaturePair, tap: str, size: int, *, fp_levels: str, regions: bool
) -> dict[str, list[naive.Map]]:
    """S * mask of every sample by region; no level is finer than the heatmap."""
    target_BNHW = pair.teacher_head.heatmaps(pair.boxes_K9, pair.labels_K)
    logits_BNHW = torch.cat([task["heatmap"] for task in pair.teacher_predictions], dim=1)
    scales: dict[str, list[naive.Map]] = {"fg": [], "fp": [], "tn": []}
    for sample, boxes in enumerate(pair.boxes_K9):
        fires = naive.false_positives(target_BNHW[sample], logits_BNHW[sample], 0.1)
        step = len(fires) // size
        fp = [
            [max(fires[step * r + i][step * c + j] for i, j in naive.cells(step, step)) for c in range(size)]
            for r in range(size)
        ]
        if fp_levels == "none" or (fp_levels == "head" and tap != "head"):
            fp = [[0.0] * size for _ in range(size)]
        foreground = naive.foreground_scale(boxes, toy.GRID.half_extent_m, size)
        for name, scale in naive.regions(foreground, fp).items():
            scales[name].append(scale if regions else naive.spread(scale))
    return scales


@pytest.mark.parametrize("fp_levels", ["head", "all", "none"])
@pytest.mark.parametrize("regions", [True, False])
def test_every_term_equals_its_loop_with_the_released_constants(fp_levels: str, regions: bool) -> None:
    pair, method = toy.in_float64(toy.make_pair()), make(fp_levels=fp_levels, regions=regions)
    losses = method.losses(pair)
    for tap, target in LEVELS:
        student, teacher = naive_aligned(method, pair, tap, target), pair.teacher_BCHW[target]
        scales = naive_scales(pair, tap, teacher.shape[2], fp_levels=fp_levels, regions=regions)
        conv = method.mfd.spatial[tap]
        expected = {
            f"mfd_fg_{tap}": 6e-3 * naive.region_loss(student, teacher, scales["fg"], 0.5),
            f"mfd_tn_{tap}": 4e-2 * naive.region_loss(student, teacher, scales["tn"], 0.5),
            f"mfd_spatial_{tap}": 2.5e-3
            * naive.spatial_loss(student, teacher, conv.weight[0, 0], conv.bias.item()),
        }
        if fp_levels == "all" or (fp_levels == "head" and tap == "head"):
            by_channel = naive.region_loss(student, teacher, scales["fp"], 0.5, by_channel=True)
            expected[f"mfd_fp_{tap}"] = 6e-2 * by_channel
        for name, value in expected.items():
            assert value > 0
            assert losses.pop(name).item() == pytest.approx(value, rel=1e-6)
    assert not losses


def test_defaults_are_the_released_constants_and_those_of_dualdistill() -> None:
    defaults = method_options.fill("distillbev", {})
    assert defaults == {
        "mfd_weight": 1.0,
        "fg_weight": 6e-3,
        "tn_weight": 4e-2,
        "fp_weight": 6e-2,
        "spatial_weight": 2.5e-3,
        "fp_threshold": 0.1,
        "fp_levels": "head",
        "tau": 0.5,
        "student_attention": True,
        "regions": True,
        "inherit_head": True,
    }
    shared = method_options.fill("dualdistill", {})
    assert all(shared[name] == value for name, value in defaults.items() if name in shared)


def test_published_adapters() -> None:
    method = DistillBEV()
    method.bind(
        {"s2": (256, 32, 32), "s3": (512, 16, 16), "head": (256, 128, 128)},
        {"t2": (128, 128, 128), "t3": (256, 64, 64), "neck": (384, 128, 128)},
    )
    assert [type(adapter) for adapter in method.adapters.values()] == [UpsampleConv, UpsampleConv, OneByOne]
    widths = [[tuple(conv[0].weight.shape[:2]) for conv in method.adapters[tap].convs] for tap in TAPS[:2]]
    assert widths == [[(256, 256), (256, 256), (128, 256)], [(512, 512), (512, 512), (256, 512)]]
    assert method.adapters["head"].weight.shape == (384, 256, 1, 1)


def test_it_equals_dualdistill_without_aoa_and_crd() -> None:
    pair = toy.make_pair()
    torch.manual_seed(5)
    ours = toy.bound(DistillBEV())
    torch.manual_seed(5)
    theirs = toy.bound(DualDistill(alignment="upsample_conv3", crd=False))
    losses, expected = ours(pair), theirs(pair)
    assert list(losses) == list(expected)
    assert all(torch.equal(loss, expected[name]) for name, loss in losses.items())


def test_without_regions_the_total_weight_is_unchanged() -> None:
    """With constant error and attention, both losses are equal."""
    pair = toy.in_float64(toy.make_pair())
    constant = {tap: torch.ones_like(feature) for tap, feature in pair.teacher_BCHW.items()}
    by_region, even = make().mfd, make(regions=False).mfd
    for tap, target in LEVELS:
        teacher_BCHW = constant[target]
        size_HW = (teacher_BCHW.shape[2], teacher_BCHW.shape[3])
        whole, evenly = (
            mfd.level(tap, 2 * teacher_BCHW, teacher_BCHW, mfd.regions(tap, pair, size_HW))
            for mfd in (by_region, even)
        )
        for name, loss in evenly.items():
            torch.testing.assert_close(loss, whole[name])


def test_cells_without_a_false_positive_region_are_background() -> None:
    pair = toy.in_float64(toy.make_pair())
    plain = make(fp_levels="none").mfd.regions("head", pair, (16, 16))
    separate = make().mfd.regions("head", pair, (16, 16))
    assert not plain.fp_BHW.any()
    assert torch.equal(plain.tn_BHW > 0, (separate.tn_BHW > 0) | (separate.fp_BHW > 0))


def test_attention_of_the_teacher_only_ignores_the_student() -> None:
    student_BCHW, teacher_BCHW = torch.randn(2, 5, 8, 8), torch.randn(2, 5, 8, 8)
    alone = DistillBEV(student_attention=False).mfd.attention
    assert torch.equal(alone(student_BCHW, teacher_BCHW), alone(2 * student_BCHW, teacher_BCHW))
    both = DistillBEV().mfd.attention
    assert not torch.equal(both(student_BCHW, teacher_BCHW), both(2 * student_BCHW, teacher_BCHW))


@pytest.mark.parametrize("inherit", [True, False])
def test_head_inheritance_can_be_switched(inherit: bool) -> None:
    torch.manual_seed(0)
    student, teacher = toy.make_head(inputs=8), toy.make_head()
    DistillBEV(inherit_head=inherit).prepare(student, teacher)
    ours, theirs = (head.layers.task_heads.state_dict() for head in (student, teacher))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items()) is inherit
