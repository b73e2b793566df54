"""The cells that a label encoder's input paints: our rule, and LabelDistill's released one."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dualdistill.config.run_spec import GridSpec
from dualdistill.models.label_painting import exact_owners, paint, released_owners

GRID = GridSpec(half_extent_m=6.4, cell_m=0.8)
RELEASED = Path(__file__).parents[1] / "golden" / "released" / "labeldistill_painting.npz"


def box(x: float, y: float, length: float, width: float, yaw: float) -> list[float]:
    return [x, y, -0.5, length, width, 1.5, yaw, 1.0, -2.0]


def naive_owners(boxes_K9: Tensor, grid: GridSpec) -> list[list[int]]:
    """Loop over cells and boxes: the last box whose half-size rectangle contains the centre of the cell."""
    owner = [[0] * grid.cells for _ in range(grid.cells)]
    for row in range(grid.cells):
        for column in range(grid.cells):
            middle = [(i + 0.5) * grid.cell_m - grid.half_extent_m for i in (column, row)]
            for number, (x, y, _, length, width, _, yaw, *_) in enumerate(boxes_K9.tolist(), start=1):
                distance = math.hypot(middle[0] - x, middle[1] - y)
                angle = math.atan2(middle[1] - y, middle[0] - x) - yaw
                along, across = distance * math.cos(angle), distance * math.sin(angle)
                inside = abs(along) <= length / 2 / 2 and abs(across) <= width / 2 / 2
                centre = [math.floor((i + grid.half_extent_m) / grid.cell_m) for i in (x, y)]
                if inside or centre == [column, row]:
                    owner[row][column] = number
    return owner


def test_exact_owners_equal_a_loop_over_cells_and_boxes() -> None:
    drawn = torch.Generator().manual_seed(3)
    boxes_K9 = torch.rand(12, 9, generator=drawn) * torch.tensor([12.0, 12, 1, 8, 4, 2, 6, 1, 1])
    boxes_K9[:, :2] -= 6
    assert exact_owners(boxes_K9, GRID).tolist() == naive_owners(boxes_K9, GRID)


def test_a_box_covers_half_its_length_and_width() -> None:
    # x from -1.9 m to 1.9 m, y from -0.75 m to 0.75 m; cells of 0.8 m have their middles at 0.4 m, 1.2 m, ...
    owner_YX = exact_owners(torch.tensor([box(0, 0, 7.6, 3, 0)]), GRID)
    rows, columns = owner_YX.nonzero(as_tuple=True)
    assert (set(rows.tolist()), set(columns.tolist())) == ({7, 8}, {6, 7, 8, 9})


def test_the_smallest_box_covers_the_cell_of_its_centre() -> None:
    owner_YX = exact_owners(torch.tensor([box(-3.9, 4.9, 0.3, 0.3, 0.2)]), GRID)
    assert owner_YX.nonzero().tolist() == [[14, 3]]


def test_of_two_boxes_in_a_cell_the_later_is_kept() -> None:
    two_K9 = torch.tensor([box(0.4, 0.4, 8, 8, 0), box(0.4, 0.4, 1, 1, 0)])
    assert exact_owners(two_K9, GRID)[8, 8] == 2
    assert exact_owners(two_K9.flip(0), GRID)[8, 8] == 2
    assert 1 not in exact_owners(two_K9.flip(0), GRID)


@pytest.mark.parametrize("painting", ["exact", "released"])
def test_a_painted_cell_holds_box_and_class(painting: str) -> None:
    boxes_K9 = (torch.tensor([box(-3.9, 4.9, 0.3, 0.3, 0.2)]), torch.zeros(0, 9))
    boxes_K9[0][0, 7] = math.nan  # an unknown velocity
    labels_K = (torch.tensor([8]), torch.zeros(0, dtype=torch.long))
    boxes_BYX9, classes_BYXG = paint(boxes_K9, labels_K, GRID, painting)
    assert boxes_BYX9.shape == (2, 16, 16, 9)
    assert boxes_BYX9[0, 14, 3].tolist() == pytest.approx([-3.9, 4.9, -0.5, 0.3, 0.3, 1.5, 0.2, 0.0, -2.0])
    assert classes_BYXG[0, 14, 3].tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 1, 0]
    boxes_BYX9[0, 14, 3], classes_BYXG[0, 14, 3] = 0, 0
    assert not boxes_BYX9.any()
    assert not classes_BYXG.any()


def released(boxes: list[list[float]], labels: list[int] | None = None) -> Tensor:
    labels = labels or [0] * len(boxes)
    return released_owners(torch.tensor(boxes), torch.tensor(labels), GRID)


def cells(owner_YX: Tensor) -> tuple[list[int], list[int]]:
    """Rows and columns that are painted."""
    rows, columns = owner_YX.nonzero(as_tuple=True)
    return sorted(set(rows.tolist())), sorted(set(columns.tolist()))


def test_the_released_rule_paints_the_polygon_of_the_cut_corners_and_its_boundary() -> None:
    # corners at 5.6 and 10.4 cells in x, 7.06 and 8.94 in y: cut to 5 and 10, 7 and 8
    assert cells(released([box(0, 0, 7.68, 3, 0)])) == ([7, 8], [5, 6, 7, 8, 9, 10])
    assert cells(exact_owners(torch.tensor([box(0, 0, 7.68, 3, 0)]), GRID)) == ([7, 8], [6, 7, 8, 9])


def test_the_released_rule_turns_boxes_counter_clockwise() -> None:
    """A long box off the diagonal of the grid that heads for +x and somewhat to its left, +y."""
    owner_YX = released([box(2, -3, 12, 2, 0.5)])
    rows, columns = owner_YX.nonzero(as_tuple=True)
    assert torch.corrcoef(torch.stack([rows, columns]).float())[0, 1] > 0.8
    assert (columns.float().mean(), rows.float().mean()) == (
        pytest.approx(10, abs=0.5),
        pytest.approx(4, abs=0.5),
    )


def test_the_released_rule_moves_what_lies_off_the_grid_to_its_border() -> None:
    assert cells(released([box(0, 9, 2, 2, 0)])) == ([15], [7, 8])
    assert not exact_owners(torch.tensor([box(0, 9, 2, 2, 0)]), GRID).any()


def test_the_released_rule_lets_later_classes_win_whatever_the_order_of_the_boxes() -> None:
    pedestrian, car = box(0.4, 0.4, 1, 1, 0), box(0.4, 0.4, 8, 8, 0)
    assert released([pedestrian, car], [8, 0])[8, 8] == 1
    assert released([car, pedestrian], [0, 8])[8, 8] == 2
    assert released([car, pedestrian], [0, 0])[8, 8] == 2


@pytest.mark.parametrize("sample", [0, 1])
def test_painted_boxes_and_classes_equal_those_of_the_released_code(sample: int) -> None:
    """Golden: LabelDistill's own code on synthetic boxes, some of them off the grid; see `provenance`."""
    stored = np.load(RELEASED)
    boxes_K9, labels_K, boxes_YX9, classes_YXG = (
        torch.from_numpy(stored[f"{name}{sample}"])
        for name in ("boxes", "labels", "boxes_painted", "classes_painted")
    )
    grid = GridSpec(half_extent_m=12.8, cell_m=0.8)
    painted_BYX9, painted_BYXG = paint((boxes_K9,), (labels_K,), grid, "released")
    assert (boxes_K9[:, :2].abs() > 12.8).any()
    assert torch.equal(painted_BYX9[0], boxes_YX9)
    assert torch.equal(painted_BYXG[0], classes_YXG)
    assert not torch.equal(paint((boxes_K9,), (labels_K,), grid, "exact")[0][0], boxes_YX9)
