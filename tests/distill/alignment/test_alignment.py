"""Alignments: shapes, orthogonality through training and storage, and the order of map and upsampling."""

from __future__ import annotations

import io

import pytest
import torch
from torch import Tensor, nn

from dualdistill.config.run_spec import ScheduleSpec
from dualdistill.distill import alignment as alignments
from dualdistill.distill.alignment import AOA, OneByOne, OrthogonalOnly, UpsampleConv
from dualdistill.distill.alignment.aoa import heads_for, tokens
from dualdistill.distill.alignment.orthogonal import OrthogonalProjection
from dualdistill.distill.alignment.upsample_conv import upsample
from dualdistill.errors import UserError
from dualdistill.training.optim import learning_rate, optimizer, set_rate

LEVEL_0 = ((256, 32, 32), (128, 128, 128))
LEVEL_1 = ((512, 16, 16), (256, 64, 64))
TOY = ((16, 4, 4), (8, 16, 16))


def departure(projection: OrthogonalProjection) -> float:
    """The largest deviation of the smaller Gram matrix of W from the identity."""
    weight_TC = projection.linear.weight.detach()
    gram = weight_TC @ weight_TC.T if len(weight_TC) <= weight_TC.shape[1] else weight_TC.T @ weight_TC
    return (gram - torch.eye(len(gram))).abs().max().item()


def test_weight_decay_does_not_change_the_projection() -> None:
    """In torch's parametrization it makes the signs of the diagonal, and so the whole weight, zero."""
    projection = OrthogonalProjection(16, 8)
    before_TC = projection.linear.weight.detach().clone()
    optimizer = torch.optim.AdamW(projection.parameters(), lr=1e-2, weight_decay=0.01)
    (projection(torch.randn(4, 16)).sum() * 0).backward()
    optimizer.step()
    torch.testing.assert_close(projection.linear.weight, before_TC)


def after_published_steps(alignment: AOA, steps: int) -> Tensor:
    """Its W after steps of the published optimizer: AdamW, 2e-4, decay 0.01, 500 steps of warm-up."""
    torch.manual_seed(0)
    schedule = ScheduleSpec()
    adam = optimizer(alignment, schedule)
    for step in range(steps):
        set_rate(adam, learning_rate(schedule, step, steps_per_epoch=879))
        adam.zero_grad()
        (alignment(torch.randn(2, *TOY[0])) - 1).square().mean().backward()
        adam.step()
    return alignment.project.linear.weight.detach()


def test_the_released_orthogonal_map_is_zero_after_eight_published_steps_and_ours_is_not() -> None:
    for steps in (7, 8, 20):
        released, ours = AOA(*TOY, projection="aoa_released"), AOA(*TOY)
        assert after_published_steps(released, steps).any() == (steps < 8)
        assert after_published_steps(ours, steps).any()
        assert departure(ours.project) < 1e-5


def test_where_the_released_map_is_zero_the_student_learns_nothing_from_it() -> None:
    released = AOA(*TOY, projection="aoa_released")
    assert departure(released.project) < 1e-5  # at the start it is the same map
    after_published_steps(released, 8)
    student_BCHW = torch.randn(2, *TOY[0], requires_grad=True)
    aligned_BTHW = released(student_BCHW)
    aligned_BTHW.square().mean().backward()
    constant_BTHW = released.project.bias_T[None, :, None, None].expand_as(aligned_BTHW)
    torch.testing.assert_close(aligned_BTHW, constant_BTHW)
    assert not student_BCHW.grad.any()


def train_a_few_steps(module: nn.Module, student_BCHW: Tensor) -> None:
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2, weight_decay=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        (module(student_BCHW) - 1).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("name", ["aoa", "attention", "orthogonal", "upsample_conv3"])
@pytest.mark.parametrize(("student", "teacher"), [LEVEL_0, LEVEL_1])
def test_alignment_has_the_shape_of_the_teachers_map(name: str, student: tuple, teacher: tuple) -> None:
    with torch.no_grad():
        aligned_BCHW = alignments.build(name, student, teacher)(torch.randn(2, *student))
    assert aligned_BCHW.shape == (2, *teacher)


def test_aoa_has_about_two_and_six_million_parameters() -> None:
    counts = [
        sum(parameter.numel() for parameter in AOA(*level).parameters()) for level in (LEVEL_0, LEVEL_1)
    ]
    assert [round(count / 1e6, 1) for count in counts] == [2.0, 6.2]


@pytest.mark.parametrize(("inputs", "outputs"), [(256, 128), (512, 256), (256, 384), (16, 16)])
def test_projection_is_orthogonal_at_the_start(inputs: int, outputs: int) -> None:
    torch.manual_seed(0)
    assert departure(OrthogonalProjection(inputs, outputs)) < 1e-5


def test_projection_stays_orthogonal_through_steps_and_storage() -> None:
    torch.manual_seed(0)
    student_BCHW = torch.randn(2, *TOY[0])
    trained, restored = AOA(*TOY), AOA(*TOY)
    before = trained.project.linear.weight.detach().clone()
    train_a_few_steps(trained, student_BCHW)
    assert not torch.allclose(trained.project.linear.weight, before, atol=1e-3)
    assert departure(trained.project) < 1e-5

    file = io.BytesIO()
    torch.save(trained.state_dict(), file)
    file.seek(0)
    restored.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(restored.project.linear.weight, trained.project.linear.weight)
    assert torch.equal(restored(student_BCHW), trained(student_BCHW))
    train_a_few_steps(restored, student_BCHW)
    assert departure(restored.project) < 1e-5


def test_a_wider_projection_keeps_lengths() -> None:
    projection = OrthogonalProjection(256, 384)
    tokens_BNC = torch.randn(1, 7, 256)
    torch.testing.assert_close(projection(tokens_BNC).norm(dim=-1), tokens_BNC.norm(dim=-1))


def test_the_initial_scale_and_bias_do_not_change_the_projection() -> None:
    projection = OrthogonalProjection(8, 4)
    tokens_BNC = torch.randn(2, 3, 8)
    assert torch.equal(projection(tokens_BNC), projection.linear(tokens_BNC))


def test_upsampling_keeps_the_corners() -> None:
    feature_BCHW = torch.randn(1, 2, 4, 4)
    corners = upsample(feature_BCHW, (16, 16))[:, :, ::15, ::15]
    torch.testing.assert_close(corners, feature_BCHW[:, :, ::3, ::3])


def test_mapping_before_upsampling_equals_the_published_order() -> None:
    torch.manual_seed(0)
    projection = OrthogonalProjection(16, 8).double()
    nn.init.normal_(projection.scale_T)
    nn.init.normal_(projection.bias_T)
    feature_BCHW = torch.randn(2, 16, 4, 4, dtype=torch.float64)
    map_first = upsample(projection(tokens(feature_BCHW)).transpose(1, 2).unflatten(2, (4, 4)), (16, 16))
    up_first = projection(tokens(upsample(feature_BCHW, (16, 16)))).transpose(1, 2).unflatten(2, (16, 16))
    torch.testing.assert_close(map_first, up_first, rtol=1e-12, atol=1e-12)


def test_aoa_equals_its_equations() -> None:
    torch.manual_seed(0)
    aoa = AOA(*TOY).double().eval()
    nn.init.normal_(aoa.position_CHW)
    feature_BCHW = torch.randn(1, *TOY[0], dtype=torch.float64)
    source_NC = (aoa.embed(feature_BCHW)[0] + aoa.position_CHW).flatten(1).T
    query_NC = torch.relu(aoa.query_map[0](aoa.query_CHW[None]))[0].flatten(1).T
    query_weight, key_weight, value_weight = aoa.attention.in_proj_weight.chunk(3)
    query_bias, key_bias, value_bias = aoa.attention.in_proj_bias.chunk(3)
    heads = []
    for head in range(8):
        part = slice(2 * head, 2 * head + 2)
        query = query_NC @ query_weight[part].T + query_bias[part]
        key = source_NC @ key_weight[part].T + key_bias[part]
        value = source_NC @ value_weight[part].T + value_bias[part]
        heads.append(torch.softmax(query @ key.T / (16 / 8) ** 0.5, dim=1) @ value)
    mixed_NC = aoa.norm(
        torch.cat(heads, dim=1) @ aoa.attention.out_proj.weight.T + aoa.attention.out_proj.bias
    )
    mixed_NC = mixed_NC + aoa.feed_forward[2](torch.relu(aoa.feed_forward[0](mixed_NC)))
    up_1CHW = upsample(mixed_NC.T.reshape(1, 16, 4, 4), (16, 16))
    expected = torch.einsum("tc,bchw->bthw", aoa.project.linear.weight, up_1CHW)
    torch.testing.assert_close(aoa(feature_BCHW), expected, rtol=1e-9, atol=1e-9)


def test_the_orthogonal_half_does_not_mix_positions() -> None:
    torch.manual_seed(0)
    half = OrthogonalOnly(*TOY).double()
    feature_BCHW = torch.randn(2, *TOY[0], dtype=torch.float64)
    expected = torch.einsum("tc,bchw->bthw", half.project.linear.weight, upsample(feature_BCHW, (16, 16)))
    torch.testing.assert_close(half(feature_BCHW), expected, rtol=1e-9, atol=1e-9)
    assert departure(half.project) < 1e-5


def test_the_attention_half_is_aoa_with_a_linear_map() -> None:
    torch.manual_seed(0)
    whole, half = AOA(*TOY).eval(), AOA(*TOY, projection="attention").eval()
    shared = {name: value for name, value in whole.state_dict().items() if not name.startswith("project.")}
    assert half.load_state_dict(shared, strict=False).missing_keys == ["project.weight", "project.bias"]
    with torch.no_grad():
        half.project.weight.copy_(whole.project.linear.weight)
        half.project.bias.zero_()
    feature_BCHW = torch.randn(2, *TOY[0])
    torch.testing.assert_close(half(feature_BCHW), whole(feature_BCHW))
    train_a_few_steps(half, feature_BCHW)
    weight_TC = half.project.weight.detach()
    assert (weight_TC @ weight_TC.T - torch.eye(8)).abs().max() > 1e-3


def test_output_activation_comes_after_upsampling() -> None:
    torch.manual_seed(0)
    signed = AOA(*TOY)
    clipped = AOA(*TOY, out_act="relu")
    clipped.load_state_dict(signed.state_dict())
    student_BCHW = torch.randn(2, *TOY[0])
    assert signed(student_BCHW).min() < 0
    assert torch.equal(clipped(student_BCHW), signed(student_BCHW).relu())


@pytest.mark.parametrize(
    ("channels", "heads"), [(256, 8), (512, 8), (24, 8), (12, 6), (7, 7), (11, 1), (2, 2)]
)
def test_slim_models_get_the_largest_number_of_heads_that_divides_their_channels(
    channels: int, heads: int
) -> None:
    assert heads_for(channels) == heads


def test_upsample_conv_is_three_blocks_and_never_negative() -> None:
    alignment = UpsampleConv(*TOY)
    assert [tuple(conv[0].weight.shape[:2]) for conv in alignment.convs] == [(16, 16), (16, 16), (8, 16)]
    assert alignment(torch.randn(2, *TOY[0])).min() >= 0


def test_head_level_needs_equal_cells() -> None:
    assert OneByOne((256, 128, 128), (384, 128, 128)).bias is not None
    with pytest.raises(UserError, match="same BEV grid"):
        OneByOne((256, 64, 64), (384, 128, 128))


def test_an_unknown_alignment_is_refused_with_the_known_names() -> None:
    with pytest.raises(UserError, match="upsample_conv3"):
        alignments.build("conv", *TOY)
