"""The label encoder: its maps, and its training through a frozen neck and head."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from batches import SLIM_GRID, SLIM_TEACHER, random_batch
from torch.nn.modules.batchnorm import _BatchNorm

from dualdistill.config.run_spec import GridSpec, LabelEncoderSpec, TeacherSpec
from dualdistill.errors import UserError
from dualdistill.models import LabelEncoder, Teacher
from dualdistill.training.objective import LabelEncoderObjective, Teachers

GRID = GridSpec(half_extent_m=6.4, cell_m=0.8)
SLIM = LabelEncoderSpec(channels=16)


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


def test_its_velocity_weight_is_that_of_its_spec_and_not_of_the_teachers_head(teachers: Teachers) -> None:
    shapes, batch = teachers.lidar.tap_shapes(), random_batch(2)
    encoder = LabelEncoder(SLIM, SLIM_GRID, shapes)

    def loss(weight: float) -> float:
        encoder.spec = replace(SLIM, velocity_weight=weight)
        return LabelEncoderObjective(encoder)(batch, teachers, progress=0.0)["box"].item()

    predictions = teachers.lidar.read(encoder(batch)).predictions
    own = teachers.lidar.head.loss(predictions, batch.boxes_K9, batch.labels_K)["box"].item()
    assert teachers.lidar.head.spec.velocity_weight == 0.2
    assert loss(0.2) == pytest.approx(own)
    assert loss(0.5) - loss(0.0) == pytest.approx(2.5 * (own - loss(0.0)))
    assert loss(0.5) > own


def test_teachers_return_label_features_only_with_an_encoder(teachers: Teachers) -> None:
    encoder = LabelEncoder(SLIM, SLIM_GRID, teachers.lidar.tap_shapes())
    batch = random_batch(1)
    assert teachers(batch).label_BCHW == {}
    both = Teachers(teachers.lidar, encoder)
    frames = both(batch)
    assert frames.label_BCHW.keys() == frames.teacher_BCHW.keys() - {"neck"}
    assert not any(map_BCYX.requires_grad for map_BCYX in frames.label_BCHW.values())
    assert not both.label_encoder.training


def test_a_frozen_teacher_gives_the_same_maps_without_the_batch_norms_behind_its_convolutions() -> None:
    torch.manual_seed(0)
    plain, batch = Teacher(SLIM_TEACHER, SLIM_GRID).eval(), random_batch(2)
    for layer in plain.modules():
        if isinstance(layer, _BatchNorm):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2.0)
    expected = plain(batch)
    frames = Teachers(copy.deepcopy(plain))(batch)
    for tap, map_BCYX in expected.taps_BCHW.items():
        torch.testing.assert_close(frames.teacher_BCHW[tap], map_BCYX, rtol=1e-4, atol=1e-4)
    head = frames.teacher_head
    assert not any(isinstance(layer, _BatchNorm) for layer in head.modules())
    assert not any(weight.requires_grad for weight in head.parameters())


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
    encoded: list[torch.Tensor] = []
    encoder.join.register_forward_hook(lambda *call: encoded.append(call[-1]))
    batch = random_batch(1)
    with torch.autocast("cpu", torch.bfloat16):
        encoder(batch)
    encoder(batch)
    assert torch.equal(*encoded)
