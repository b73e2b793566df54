"""Regions and their adaptive scales, against hand-made cases and loops over cells and boxes."""

from __future__ import annotations

import math

import pytest
import torch
from distill import naive
from torch import Tensor

from dualdistill.config.run_spec import GridSpec
from dualdistill.distill.terms.regions import (
    count_scale,
    false_positives,
    foreground_scale,
    regions,
    resize_mask,
)


def box(x: float, y: float, length: float, width: float, yaw: float = 0.0) -> Tensor:
    return torch.tensor([[x, y, 0.0, length, width, 1.5, yaw, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("length", "width", "size", "scale"),
    [(4.6, 1.9, 128, 0.271), (4.6, 1.9, 64, 0.541), (11.0, 2.9, 128, 0.142)],
)
def test_car_and_bus_get_the_published_foreground_scales(
    grid: GridSpec, length: float, width: float, size: int, scale: float
) -> None:
    scale_HW = foreground_scale(box(3.1, 7.7, length, width), grid, (size, size))
    assert scale_HW.max().item() == pytest.approx(scale, abs=5e-4)
    assert set(scale_HW.unique().tolist()) == {0.0, scale_HW.max().item()}


@pytest.mark.parametrize(("length", "width"), [(4.6, 1.9), (11.0, 2.9), (17.0, 3.0)])
def test_a_box_weighs_the_root_of_its_area(grid: GridSpec, length: float, width: float) -> None:
    sums = [
        foreground_scale(
            box(0.13 * shift, 5 + 0.07 * shift, length, width, 0.3 * shift), grid, (128, 128)
        ).sum()
        for shift in range(20)
    ]
    area = length * width / grid.cell_m**2
    assert torch.stack(sums).mean().item() == pytest.approx(math.sqrt(area), rel=0.05)


def test_box_off_the_diagonal_fills_row_y_and_column_x(grid: GridSpec) -> None:
    scale_HW = foreground_scale(box(30.0, 5.0, 8.0, 1.9), grid, (128, 128))
    rows, columns = scale_HW.nonzero(as_tuple=True)
    # Lower corners: a cell belongs to the box when -51.2 + 0.8 i lies in it.
    assert (rows.min().item(), rows.max().item()) == (70, 71)  # y 4.05 .. 5.95
    assert (columns.min().item(), columns.max().item()) == (97, 106)  # x 26 .. 34


def test_yaw_turns_counter_clockwise_from_x(grid: GridSpec) -> None:
    rows, columns = foreground_scale(box(10.0, 0.0, 12.0, 1.0, math.pi / 4), grid, (128, 128)).nonzero(
        as_tuple=True
    )
    assert torch.corrcoef(torch.stack([rows.double(), columns.double()]))[0, 1] > 0.9


def test_cells_are_sampled_at_their_lower_corner(toy_grid: GridSpec) -> None:
    # Around the centre of cell (8, 8), smaller than the cell: no corner inside. Around its lower corner: one.
    assert not foreground_scale(box(0.4, 0.4, 0.6, 0.6), toy_grid, (16, 16)).any()
    assert foreground_scale(box(0.0, 0.0, 0.6, 0.6), toy_grid, (16, 16)).nonzero().tolist() == [[8, 8]]


def test_first_of_two_overlapping_boxes_wins(toy_grid: GridSpec) -> None:
    small, large = box(0.1, 0.1, 2.0, 2.0), box(0.1, 0.1, 6.0, 6.0)
    middle = (8, 8)
    small_first = foreground_scale(torch.cat([small, large]), toy_grid, (16, 16))
    large_first = foreground_scale(torch.cat([large, small]), toy_grid, (16, 16))
    assert small_first[middle].item() == pytest.approx(0.8 / 2)
    assert large_first[middle].item() == pytest.approx(0.8 / 6)


def test_regions_equal_loops_over_cells_and_boxes(
    toy_grid: GridSpec, toy_boxes_K9: tuple[Tensor, ...]
) -> None:
    torch.manual_seed(0)
    target_BNHW, logits_BNHW = (
        torch.rand(3, 4, 16, 16).double() * 0.2,
        torch.randn(3, 4, 16, 16).double() * 2 - 2,
    )
    fp_BHW = false_positives(target_BNHW, logits_BNHW, 0.1)
    masks = regions(toy_boxes_K9, toy_grid, (16, 16), fp_BHW)
    for sample, boxes in enumerate(toy_boxes_K9):
        candidates = naive.false_positives(target_BNHW[sample], logits_BNHW[sample], 0.1)
        assert fp_BHW[sample].double().tolist() == candidates
        expected = naive.regions(naive.foreground_scale(boxes, 6.4, 16), candidates)
        for name, scale_HW in (("fg", masks.fg_BHW), ("fp", masks.fp_BHW), ("tn", masks.tn_BHW)):
            torch.testing.assert_close(
                scale_HW[sample].double(), torch.tensor(expected[name]).double(), rtol=1e-6, atol=0
            )


def test_regions_are_disjoint_and_cover_the_map(toy_grid: GridSpec, toy_boxes_K9: tuple[Tensor, ...]) -> None:
    torch.manual_seed(0)
    masks = regions(toy_boxes_K9, toy_grid, (16, 16), torch.rand(3, 16, 16) > 0.5)
    covered_BHW = sum((scale_BHW > 0).int() for scale_BHW in (masks.fg_BHW, masks.fp_BHW, masks.tn_BHW))
    assert (covered_BHW == 1).all()


def test_background_scales_sum_to_one_or_to_zero_without_cells() -> None:
    mask_BHW = torch.zeros(2, 4, 4, dtype=torch.bool)
    mask_BHW[0, 1, :3] = True
    assert count_scale(mask_BHW).sum(dim=(1, 2)).tolist() == [pytest.approx(1.0), 0.0]


def test_sample_without_boxes_is_all_background(toy_grid: GridSpec) -> None:
    masks = regions((torch.zeros(0, 9),), toy_grid, (16, 16), torch.zeros(1, 16, 16, dtype=torch.bool))
    assert not masks.fg_BHW.any()
    assert (masks.tn_BHW == 1 / 256).all()


def test_masks_are_max_pooled_to_coarser_and_repeated_to_finer_maps() -> None:
    mask_BHW = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask_BHW[0, 0, 3] = True
    assert resize_mask(mask_BHW, (2, 2)).nonzero().tolist() == [[0, 0, 1]]
    assert resize_mask(mask_BHW, (8, 8)).nonzero().tolist() == [[0, 0, 6], [0, 0, 7], [0, 1, 6], [0, 1, 7]]
    assert torch.equal(resize_mask(mask_BHW, (4, 4)), mask_BHW)
