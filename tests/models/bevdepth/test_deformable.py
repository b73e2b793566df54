"""The deformable convolution against a loop over cells and taps."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dualdistill.models.bevdepth.deformable import DeformableConv, sample
from dualdistill.models.layers import channels_last


def layer(channels: int = 4, spread: float = 0.5) -> DeformableConv:
    """A layer that shifts its taps by about a cell, some of them out of the map."""
    torch.manual_seed(0)
    deform = DeformableConv(channels).double()
    torch.nn.init.normal_(deform.taps.weight, std=spread)
    torch.nn.init.normal_(deform.taps.bias, std=spread)
    torch.nn.init.normal_(deform.bias)
    return deform


def value_at(map_Chw: Tensor, y: float, x: float) -> Tensor:
    """Bilinear, zero outside."""
    total = map_Chw.new_zeros(len(map_Chw))
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < map_Chw.shape[1] and 0 <= column < map_Chw.shape[2]:
                total = total + map_Chw[:, row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


def by_loop(deform: DeformableConv, map_MChw: Tensor) -> Tensor:
    taps_MShw = deform.taps(map_MChw)
    out_MChw = torch.zeros_like(map_MChw)
    for m in range(len(map_MChw)):
        for y in range(map_MChw.shape[2]):
            for x in range(map_MChw.shape[3]):
                numbers = taps_MShw[m, :, y, x].tolist()
                out_MChw[m, :, y, x] = deform.bias
                for tap in range(9):
                    at_y = y + tap // 3 - 1 + numbers[2 * tap]
                    at_x = x + tap % 3 - 1 + numbers[2 * tap + 1]
                    share = 1 / (1 + math.exp(-numbers[18 + tap]))
                    value_C = value_at(map_MChw[m], at_y, at_x) * share
                    out_MChw[m, :, y, x] += deform.weight[:, :, tap // 3, tap % 3] @ value_C
    return out_MChw


@torch.no_grad()
@pytest.mark.parametrize("change", [torch.Tensor.contiguous, channels_last], ids=["contiguous", "last"])
def test_it_equals_a_loop_over_cells_and_taps_in_either_layout(change):
    deform, map_MChw = layer(), torch.randn(2, 4, 5, 7, dtype=torch.float64)
    expected = by_loop(deform, map_MChw)
    assert torch.allclose(deform(change(map_MChw)), expected, rtol=0, atol=1e-10)
    single = deform.float()(change(map_MChw.float()))
    assert torch.allclose(single.double(), expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_a_tap_is_shifted_by_rows_first():
    """A peak off the diagonal, one row up and 2.25 columns to the right of the tap that reads it."""
    map_MChw = torch.zeros(1, 1, 6, 8)
    map_MChw[0, 0, 1, 5] = 4.0
    shift = torch.zeros(1, 9, 2, 6, 8)
    shift[0, 4, :, 2, 3] = torch.tensor([-1.0, 2.25])
    values = sample(map_MChw, shift)
    assert values.shape == (1, 1, 9, 6, 8)
    assert values[0, 0, 4, 2, 3] == pytest.approx(3.0)
    assert values[0, 0, 4, 1, 5] == pytest.approx(4.0)
    assert values[0, 0, 2, 2, 4] == pytest.approx(4.0)  # the tap above and to the right


def test_a_fresh_layer_is_half_a_convolution():
    deform, map_MChw = DeformableConv(4), torch.randn(2, 4, 5, 7)
    plain = torch.nn.functional.conv2d(map_MChw, deform.weight, padding=1)
    assert torch.allclose(deform(map_MChw), plain / 2 + deform.bias[:, None, None], atol=1e-6)


def test_it_has_the_gradients_of_finite_differences():
    deform = layer(2)
    map_MChw = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    names, weights = zip(*deform.named_parameters(), strict=True)

    def run(map_MChw: Tensor, *weights: Tensor) -> Tensor:
        return torch.func.functional_call(deform, dict(zip(names, weights, strict=True)), map_MChw)

    assert torch.autograd.gradcheck(run, (map_MChw, *weights))


def test_under_autocast_it_samples_in_float32_and_trains():
    deform, map_MChw = layer().float(), torch.randn(2, 4, 5, 7)
    plain = deform(map_MChw)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = deform(map_MChw)
    assert mixed.dtype == torch.bfloat16
    assert torch.allclose(mixed.float(), plain, atol=0.05 * plain.abs().max().item())
    mixed.float().square().sum().backward()
    assert all(weight.grad.isfinite().all() and weight.grad.any() for weight in deform.parameters())


def test_recomputing_the_samples_gives_the_same_gradients_with_less_memory():
    map_MChw = torch.randn(2, 4, 5, 7, requires_grad=True)
    results, kept = [], []
    for recompute in (False, True):
        deform, sizes = layer().float(), []
        deform.recompute = recompute

        def keep(tensor: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            out = deform(map_MChw)
        gradients = torch.autograd.grad(out.square().sum(), [map_MChw, *deform.parameters()])
        results.append([out, *gradients])
        kept.append(sum(sizes))
    assert all(torch.equal(plain, again) for plain, again in zip(*results, strict=True))
    assert kept[1] < kept[0] / 5
