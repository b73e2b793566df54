"""MFD's attentions and terms with weights and normalisers, against closed forms and loops."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from distill import naive, toy
from torch import Tensor

from dualdistill.distill.dualdistill import DualDistill
from dualdistill.distill.inputs import LEVELS, FeaturePair
from dualdistill.distill.terms.attention import channel_attention, mean_attention, spatial_attention
from dualdistill.distill.terms.mfd import MFD, spatial_loss

TAU = 0.5
ALPHA, BETA, ETA, SPATIAL = 6e-3, 4e-2, 6e-2, 2.5e-3  # the released constants


def aligned_like(pair: FeaturePair) -> dict[str, Tensor]:
    torch.manual_seed(2)
    return {tap: torch.randn_like(pair.teacher_BCHW[target]) for tap, target in LEVELS}


def released() -> MFD:
    torch.manual_seed(3)
    mfd = DualDistill().mfd
    assert mfd is not None
    return mfd.double()


def test_spatial_attention_of_a_constant_map_is_one_everywhere() -> None:
    attention_BHW = spatial_attention(torch.full((2, 3, 8, 8), -1.7), TAU)
    torch.testing.assert_close(attention_BHW, torch.ones(2, 8, 8))


def test_attentions_sum_to_the_number_of_cells_and_channels() -> None:
    feature_BCHW = torch.randn(2, 5, 8, 8)
    torch.testing.assert_close(spatial_attention(feature_BCHW, TAU).sum(dim=(1, 2)), torch.full((2,), 64.0))
    torch.testing.assert_close(channel_attention(feature_BCHW, TAU).sum(dim=1), torch.full((2,), 5.0))


def test_attention_is_the_mean_of_both_maps_and_has_no_gradient() -> None:
    student_BCHW = torch.randn(2, 5, 8, 8, requires_grad=True)
    teacher_BCHW = torch.randn(2, 5, 8, 8)
    attention_BHW = mean_attention(student_BCHW, teacher_BCHW, TAU)
    both_BHW = spatial_attention(student_BCHW, TAU) + spatial_attention(teacher_BCHW, TAU)
    torch.testing.assert_close(attention_BHW, both_BHW.detach() / 2)
    assert not attention_BHW.requires_grad


def test_attentions_equal_loops_over_cells_and_channels() -> None:
    feature_CHW = torch.randn(5, 6, 7, dtype=torch.float64)
    spatial = torch.tensor(naive.spatial_attention(feature_CHW, TAU), dtype=torch.float64)
    channel = torch.tensor(naive.channel_attention(feature_CHW, TAU), dtype=torch.float64)
    torch.testing.assert_close(spatial_attention(feature_CHW[None], TAU)[0], spatial, rtol=1e-6, atol=0)
    torch.testing.assert_close(channel_attention(feature_CHW[None], TAU)[0], channel, rtol=1e-6, atol=0)


def test_every_term_equals_its_loop_with_the_released_constants() -> None:
    pair, mfd = toy.in_float64(toy.make_pair()), released()
    aligned = aligned_like(pair)
    losses = mfd(aligned, pair, mfd.frame_targets(pair))
    target_BNHW = pair.teacher_head.heatmaps(pair.boxes_K9, pair.labels_K)
    logits_BNHW = torch.cat([task["heatmap"] for task in pair.teacher_predictions], dim=1)
    for tap, target in LEVELS:
        student, teacher = aligned[tap], pair.teacher_BCHW[target]
        size = teacher.shape[2]
        scales = []
        for sample, boxes in enumerate(pair.boxes_K9):
            fp = [[0.0] * size for _ in range(size)]
            if tap == "head":
                fp = naive.false_positives(target_BNHW[sample], logits_BNHW[sample], 0.1)
            scales.append(naive.regions(naive.foreground_scale(boxes, toy.GRID.half_extent_m, size), fp))
        expected = {
            f"mfd_fg_{tap}": ALPHA * naive.region_loss(student, teacher, [s["fg"] for s in scales], TAU),
            f"mfd_tn_{tap}": BETA * naive.region_loss(student, teacher, [s["tn"] for s in scales], TAU),
            f"mfd_spatial_{tap}": SPATIAL
            * naive.spatial_loss(
                student, teacher, mfd.spatial[tap].weight[0, 0], mfd.spatial[tap].bias.item()
            ),
        }
        if tap == "head":
            fp_scales = [s["fp"] for s in scales]
            expected["mfd_fp_head"] = ETA * naive.region_loss(
                student, teacher, fp_scales, TAU, by_channel=True
            )
        for name, value in expected.items():
            assert value > 0
            assert losses.pop(name).item() == pytest.approx(value, rel=1e-6)
    assert not losses


def test_terms_are_sums_over_cells_and_means_over_samples() -> None:
    pair, mfd = toy.in_float64(toy.make_pair()), released()
    aligned = aligned_like(pair)
    twice = replace(
        pair,
        teacher_BCHW={tap: torch.cat([feature, feature]) for tap, feature in pair.teacher_BCHW.items()},
        teacher_predictions=[
            {name: torch.cat([tensor, tensor]) for name, tensor in task.items()}
            for task in pair.teacher_predictions
        ],
        boxes_K9=pair.boxes_K9 * 2,
        labels_K=pair.labels_K * 2,
    )
    both = {tap: torch.cat([feature, feature]) for tap, feature in aligned.items()}
    doubled = mfd(both, twice, mfd.frame_targets(twice))
    for name, loss in mfd(aligned, pair, mfd.frame_targets(pair)).items():
        torch.testing.assert_close(doubled[name], loss)


def test_perfect_imitation_leaves_only_the_spatial_term() -> None:
    pair, mfd = toy.in_float64(toy.make_pair()), released()
    same = {tap: pair.teacher_BCHW[target] for tap, target in LEVELS}
    losses = mfd(same, pair, mfd.frame_targets(pair))
    assert all(loss == 0 for name, loss in losses.items() if "spatial" not in name)


def test_spatial_conv_learns() -> None:
    conv = torch.nn.Conv2d(1, 1, 3, padding=1)
    spatial_loss(torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8), conv).backward()
    assert conv.weight.grad is not None
    assert conv.weight.grad.abs().sum() > 0
