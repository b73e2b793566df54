"""The label encoder: its painted input, its maps, and its training through a frozen neck and head."""

from __future__ import annotations

import math

import pytest
import torch
from batches import SLIM_GRID, SLIM_TEACHER, random_batch
from torch import Tensor

from dualdistill.config.run_spec import GridSpec, LabelEncoderSpec, TeacherSpec
from dualdistill.errors import UserError
from dualdistill.models import LabelEncoder, Teacher
from dualdistill.models.label_encoder import owners, paint
from dualdistill.training.objective import LabelEncoderObjective, Teachers

GRID = GridSpec(half_extent_m=6.4, cell_m=0.8)
SLIM = LabelEncoderSpec(channels=16)


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


def test_owners_equal_a_loop_over_cells_and_boxes() -> None:
    drawn = torch.Generator().manual_seed(3)
    boxes_K9 = torch.rand(12, 9, generator=drawn) * torch.tensor([12.0, 12, 1, 8, 4, 2, 6, 1, 1])
    boxes_K9[:, :2] -= 6
    assert owners(boxes_K9, GRID).tolist() == naive_owners(boxes_K9, GRID)


def test_a_box_covers_half_its_length_and_width() -> None:
    # x from -1.9 m to 1.9 m, y from -0.75 m to 0.75 m; cells of 0.8 m have their middles at 0.4 m, 1.2 m, ...
    owner_YX = owners(torch.tensor([box(0, 0, 7.6, 3, 0)]), GRID)
    rows, columns = owner_YX.nonzero(as_tuple=True)
    assert (set(rows.tolist()), set(columns.tolist())) == ({7, 8}, {6, 7, 8, 9})


def test_the_smallest_box_covers_the_cell_of_its_centre() -> None:
    owner_YX = owners(torch.tensor([box(-3.9, 4.9, 0.3, 0.3, 0.2)]), GRID)
    assert owner_YX.nonzero().tolist() == [[14, 3]]


def test_of_two_boxes_in_a_cell_the_later_is_kept() -> None:
    two_K9 = torch.tensor([box(0.4, 0.4, 8, 8, 0), box(0.4, 0.4, 1, 1, 0)])
    assert owners(two_K9, GRID)[8, 8] == 2
    assert owners(two_K9.flip(0), GRID)[8, 8] == 2
    assert 1 not in owners(two_K9.flip(0), GRID)


def test_a_painted_cell_holds_box_and_class() -> None:
    boxes_K9 = (torch.tensor([box(-3.9, 4.9, 0.3, 0.3, 0.2)]), torch.zeros(0, 9))
    boxes_K9[0][0, 7] = math.nan  # an unknown velocity
    labels_K = (torch.tensor([8]), torch.zeros(0, dtype=torch.long))
    boxes_BYX9, classes_BYXG = paint(boxes_K9, labels_K, GRID)
    assert boxes_BYX9.shape == (2, 16, 16, 9)
    assert boxes_BYX9[0, 14, 3].tolist() == pytest.approx([-3.9, 4.9, -0.5, 0.3, 0.3, 1.5, 0.2, 0.0, -2.0])
    assert classes_BYXG[0, 14, 3].tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 1, 0]
    boxes_BYX9[0, 14, 3], classes_BYXG[0, 14, 3] = 0, 0
    assert not boxes_BYX9.any()
    assert not classes_BYXG.any()


@pytest.fixture
def teachers() -> Teachers:
    return Teachers(Teacher(SLIM_TEACHER, SLIM_GRID))


def test_its_maps_have_the_shapes_of_the_teacher_and_the_finest_is_zero(teachers: Teachers) -> None:
    shapes = teachers.lidar.tap_shapes()
    encoder = LabelEncoder(SLIM, SLIM_GRID, shapes)
    maps = encoder(random_batch(2))
    assert {tap: tuple(map_BCYX.shape[1:]) for tap, map_BCYX in maps.items()} == {
        tap: shape for tap, shape in shapes.items() if tap != "neck"
    }
    assert not maps["t1"].any()
    assert all((maps[tap] >= 0).all() and maps[tap].any() for tap in ("t2", "t3"))


def test_it_is_trained_through_a_frozen_neck_and_head(teachers: Teachers) -> None:
    """The loss falls, all of the encoder learns, and the teacher does not change by a bit."""
    torch.manual_seed(0)
    objective = LabelEncoderObjective(LabelEncoder(SLIM, SLIM_GRID, teachers.lidar.tap_shapes()))
    before = {name: value.clone() for name, value in teachers.state_dict().items()}
    optimizer, batch, history = torch.optim.AdamW(objective.parameters(), lr=3e-3), random_batch(2), []
    for _ in range(40):
        optimizer.zero_grad()
        loss = torch.stack(list(objective(batch, teachers, progress=0.0).values())).sum()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.4 * history[0]
    assert all(weight.grad is not None and weight.grad.any() for weight in objective.parameters())
    assert all(torch.equal(value, before[name]) for name, value in teachers.state_dict().items())
    assert all(weight.grad is None for weight in teachers.parameters())


def test_teachers_return_label_features_only_with_an_encoder(teachers: Teachers) -> None:
    encoder = LabelEncoder(SLIM, SLIM_GRID, teachers.lidar.tap_shapes())
    batch = random_batch(1)
    assert teachers(batch)[1] == {}
    both = Teachers(teachers.lidar, encoder)
    output, labels_BCHW = both(batch)
    assert labels_BCHW.keys() == output.taps_BCHW.keys() - {"neck"}
    assert not any(map_BCYX.requires_grad for map_BCYX in labels_BCHW.values())
    assert not both.label_encoder.training


def test_a_teacher_whose_maps_do_not_divide_the_grid_is_refused() -> None:
    with pytest.raises(UserError, match="a teacher's map of 5 cells does not divide the grid of 16"):
        LabelEncoder(SLIM, GRID, {"t2": (4, 5, 5)})


def test_the_full_size_encoder_has_the_published_maps() -> None:
    shapes = {"t1": (64, 256, 256), "t2": (128, 128, 128), "t3": (256, 64, 64), "neck": (384, 128, 128)}
    encoder = LabelEncoder(LabelEncoderSpec(), GridSpec(), shapes)
    assert [(tap, branch[0].stride) for tap, branch in encoder.branches.items()] == [
        ("t2", (1, 1)),
        ("t3", (2, 2)),
    ]
    sizes = [
        [tuple(layer.weight.shape) for layer in (perceptron[0], perceptron[2])]
        for perceptron in (encoder.box, encoder.label)
    ]
    assert sizes == [[(256, 9), (256, 256)], [(256, 10), (256, 256)]]
    assert TeacherSpec().channels == (64, 128, 256)


def test_boxes_are_encoded_in_float32_under_autocast():
    encoder = LabelEncoder(
        LabelEncoderSpec(channels=16), SLIM_GRID, Teacher(SLIM_TEACHER, SLIM_GRID).tap_shapes()
    )
    encoded: list[Tensor] = []
    encoder.join.register_forward_hook(lambda *call: encoded.append(call[-1]))
    batch = random_batch(1)
    with torch.autocast("cpu", torch.bfloat16):
        encoder(batch)
    encoder(batch)
    assert torch.equal(*encoded)
