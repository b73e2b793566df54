"""The interface of student and teacher: build, forward, losses, decode, tap_shapes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from batches import SLIM_GRID, SLIM_STUDENT, SLIM_TEACHER, perfect_predictions, random_batch

from dualdistill.config.run_spec import (
    DataSpec,
    GridSpec,
    InputSpec,
    RunSpec,
    ScheduleSpec,
    StudentSpec,
    TeacherSpec,
)
from dualdistill.data.batch import Batch, Output
from dualdistill.data.previous_frame import CAMERA_INTERVAL_S
from dualdistill.errors import UserError
from dualdistill.models import Detector, Teacher, build
from dualdistill.models.bevdepth.student import BEVDepth
from dualdistill.models.center_targets import centre_targets
from dualdistill.models.student import displaced


def run(model: StudentSpec | TeacherSpec, grid: GridSpec = SLIM_GRID) -> RunSpec:
    return RunSpec(
        kind="teacher" if isinstance(model, TeacherSpec) else "student",
        seed=0,
        data=DataSpec("world", "v1.0-world", "world_train", "world_dev", "world_val"),
        grid=grid,
        input=InputSpec(),
        model=model,
        schedule=ScheduleSpec(),
        threads=1,
        versions={},
    )


@pytest.fixture(params=[SLIM_STUDENT, SLIM_TEACHER], ids=["student", "teacher"])
def detector(request: pytest.FixtureRequest) -> Detector:
    return build(run(request.param))


def overfit(detector: Detector, batch: Batch, steps: int, lr: float) -> list[float]:
    """Adam with a one-cycle rate on one batch; the total loss of every step."""
    optimizer = torch.optim.AdamW(detector.parameters(), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    history = []
    for _ in range(steps):
        optimizer.zero_grad()
        total = sum(detector.losses(detector(batch), batch).values())
        total.backward()
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 35.0)
        optimizer.step()
        schedule.step()
        history.append(total.item())
    return history


def mean_errors(detector: Detector, batch: Batch) -> tuple[float, float, float, float]:
    """Share of boxes detected within half a metre, and their errors in yaw, size and velocity."""
    with torch.no_grad():
        decoded = detector.decode(detector(batch), batch)
    hits, errors = 0, []
    for sample, boxes, labels in zip(decoded, batch.boxes_K9, batch.labels_K, strict=True):
        sure = sample.scores_K > 0.3
        for box, label in zip(boxes, labels, strict=True):
            candidates = sample.boxes_K9[sure & (sample.labels_K == label)]
            distance = (candidates[:, :2] - box[:2]).norm(dim=1)
            if not len(candidates) or distance.min() > 0.5:
                continue
            hits += 1
            best = candidates[distance.argmin()]
            turn = torch.atan2((best[6] - box[6]).sin(), (best[6] - box[6]).cos()).abs()
            errors.append([turn, (best[3:6] / box[3:6] - 1).abs().max(), (best[7:] - box[7:]).norm()])
    yaw, size, velocity = torch.tensor(errors).mean(0).tolist()
    return hits / sum(map(len, batch.labels_K)), yaw, size, velocity


def test_taps_have_the_announced_shapes(detector: Detector):
    output = detector(random_batch())
    assert {name: tuple(tap.shape[1:]) for name, tap in output.taps_BCHW.items()} == detector.tap_shapes()
    assert list(output.taps_BCHW) == list(detector.tap_shapes())


@pytest.mark.parametrize("stride", [8, 16])
def test_the_lifted_map_has_the_configured_stride(stride: int):
    student, batch = (
        BEVDepth(replace(SLIM_STUDENT, feature_stride=stride), SLIM_GRID),
        random_batch(stride=stride),
    )
    output = student(batch)
    assert output.depth_logits_BNDhw.shape[-2:] == (64 // stride, 176 // stride)
    sum(student.losses(output, batch).values()).backward()
    assert all(weight.grad is not None for weight in student.image_encoder.parameters())


def test_every_weight_gets_a_gradient(detector: Detector):
    batch = random_batch()
    sum(detector.losses(detector(batch), batch).values()).backward()
    without = [name for name, weight in detector.named_parameters() if weight.grad is None]
    assert not without
    assert all(weight.grad.isfinite().all() for weight in detector.parameters())


def test_losses_are_named_and_finite(detector: Detector):
    batch = random_batch()
    losses = detector.losses(detector(batch), batch)
    assert set(losses) == ({"heatmap", "box", "depth"} if detector.needs_images else {"heatmap", "box"})
    assert all(loss.ndim == 0 and loss.isfinite() for loss in losses.values())


def test_a_batch_without_boxes_trains(detector: Detector):
    batch = random_batch()
    nothing = (torch.zeros(0, 9),) * 2, (torch.zeros(0, dtype=torch.long),) * 2
    batch = replace(batch, boxes_K9=nothing[0], labels_K=nothing[1])
    sum(detector.losses(detector(batch), batch).values()).backward()
    assert all(weight.grad.isfinite().all() for weight in detector.parameters() if weight.grad is not None)


def test_the_same_seed_makes_the_same_weights():
    for model in (SLIM_STUDENT, SLIM_TEACHER):
        torch.manual_seed(7)
        first = build(run(model)).state_dict()
        torch.manual_seed(7)
        second = build(run(model)).state_dict()
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_building_prints_nothing(capfd: pytest.CaptureFixture[str]):
    build(run(SLIM_STUDENT))
    build(run(SLIM_TEACHER))
    assert capfd.readouterr() == ("", "")


def test_cells_beyond_the_bins_belong_to_no_box():
    student = BEVDepth(SLIM_STUDENT, SLIM_GRID)  # bins from 1 to 36 m
    depth = torch.tensor([0.0, 0.9, 1.0, 35.9, 36.0]).expand(1, 6, 1, 5)
    owner = torch.tensor([0, 1, 2, 3, 4]).expand(1, 6, 1, 5)
    batch = replace(random_batch(1), depth_BNhw=depth, owner_BNhw=owner)
    image_depth = student.image_depth(Output({}, [], torch.zeros(1, 6, 35, 1, 5)), batch)
    assert image_depth.owner_BNhw[0, 0, 0].tolist() == [0, 0, 2, 3, 0]
    assert image_depth.bins_D[[0, -1]].tolist() == [1.5, 35.5]
    assert torch.equal(image_depth.target_BNhw, depth)


def test_released_geometry_gives_methods_the_lower_edges_of_the_bins():
    student = BEVDepth(replace(SLIM_STUDENT, geometry="released"), SLIM_GRID)
    none = torch.zeros(1, 6, 1, 5)
    batch = replace(random_batch(1), depth_BNhw=none, owner_BNhw=none.long())
    image_depth = student.image_depth(Output({}, [], torch.zeros(1, 6, 35, 1, 5)), batch)
    assert image_depth.bins_D[[0, -1]].tolist() == [1.0, 35.0]


def test_the_previous_frame_gets_no_gradient_but_changes_the_output():
    student, batch = BEVDepth(SLIM_STUDENT, SLIM_GRID), random_batch()
    batch.images_BFNCHW.requires_grad_()
    sum(student.losses(student(batch), batch).values()).backward()
    gradient = batch.images_BFNCHW.grad
    assert gradient[:, 0].any()
    assert not gradient[:, 1].any()
    student.eval()
    images = batch.images_BFNCHW.detach().clone()
    before = student(replace(batch, images_BFNCHW=images)).taps_BCHW["head"]
    images[:, 1] = 0
    assert not torch.allclose(student(replace(batch, images_BFNCHW=images)).taps_BCHW["head"], before)


def test_each_frame_is_lifted_with_the_camera_poses_of_its_time():
    student, batch = BEVDepth(SLIM_STUDENT, SLIM_GRID).eval(), random_batch()
    maps = [student._frame(batch, frame)[0] for frame in range(2)]
    poses = batch.camera_to_lidar_BFN44.clone()
    poses[:, 1, :, 0, 3] += 5.0
    moved = replace(batch, camera_to_lidar_BFN44=poses)
    assert torch.equal(student._frame(moved, 0)[0], maps[0])
    assert not torch.allclose(student._frame(moved, 1)[0], maps[1])


def test_both_heads_encode_a_box_in_the_same_cell_and_decode_it():
    box = torch.tensor([[30.0, 5.0, -0.8, 4.6, 1.9, 1.7, 0.6, 3.0, -1.0]])
    label, grid, history = torch.tensor([1]), GridSpec(51.2, 0.8), torch.tensor([1.5])
    batch = Batch(("one",), (box,), (label,), torch.eye(4)[None], history_s_B=history)
    for detector in (BEVDepth(SLIM_STUDENT, grid), Teacher(replace(SLIM_TEACHER, pillar_m=0.8), grid)):
        regressed = displaced((box,), history) if detector.needs_images else (box,)
        targets = centre_targets(regressed, (label,), grid)
        row, column = int((5 + 51.2) / 0.8), int((30 + 51.2) / 0.8)
        assert targets.heatmap_BGYX.eq(1).nonzero().tolist() == [[0, 1, row, column]]
        assert torch.equal(detector.head.heatmaps((box,), (label,)), targets.heatmap_BGYX)
        predictions = perfect_predictions(regressed, (label,), grid)
        output = Output({}, predictions, torch.zeros(1, 6, 35, 2, 2))
        decoded = detector.decode(output, batch)[0]
        best = decoded.scores_K.argmax()
        assert decoded.labels_K[best] == 1
        assert torch.allclose(decoded.boxes_K9[best], box[0], atol=1e-4)
        batch_with_depth = replace(batch, depth_BNhw=torch.zeros(1, 6, 2, 2))
        assert detector.losses(output, batch_with_depth)["box"].item() == pytest.approx(0, abs=1e-5)


def test_displacement_is_velocity_times_the_age_of_the_previous_frame():
    box = torch.tensor([[0, 0, 0, 4.0, 2, 1.5, 0, 3.0, -1.0]])
    forward, backward, same = displaced((box, box, box), torch.tensor([1.5, -0.5, 0.0]))
    assert forward[0, 7:].tolist() == [4.5, -1.5]
    assert backward[0, 7:].tolist() == [-1.5, 0.5]
    assert same[0, 7:].isnan().all()
    assert box[0, 7:].tolist() == [3.0, -1.0]


def test_at_a_scene_start_velocity_is_a_twelfth_of_a_second_of_displacement_in_training_and_in_decoding():
    box, label = torch.tensor([[6.0, 2.0, 0, 4.0, 2, 1.5, 0, 3.0, -1.0]]), torch.tensor([0])
    history_s_B = torch.tensor([CAMERA_INTERVAL_S])
    target = displaced((box,), history_s_B)[0]
    assert target[0, 7:].tolist() == pytest.approx([3 / 12, -1 / 12])
    student = BEVDepth(SLIM_STUDENT, SLIM_GRID)
    batch = Batch(("one",), (box,), (label,), torch.eye(4)[None], history_s_B=history_s_B)
    output = Output({}, perfect_predictions((target,), (label,), SLIM_GRID), torch.zeros(1, 6, 35, 2, 2))
    decoded = student.decode(output, batch)[0]
    assert torch.allclose(decoded.boxes_K9[decoded.scores_K.argmax(), 7:], box[0, 7:], atol=1e-4)


def test_equal_frames_decode_to_zero_velocity():
    student, batch = BEVDepth(SLIM_STUDENT, SLIM_GRID).eval(), random_batch()
    batch = replace(batch, history_s_B=torch.tensor([0.0, 1.0]))
    output = student(batch)
    for task in output.predictions:
        task["heatmap"] -= 4
    output.predictions[0]["heatmap"][:, :, 10:12] += 7
    still, moving = student.decode(output, batch)
    assert len(still.boxes_K9) > 0
    assert (still.boxes_K9[:, 7:] == 0).all()
    assert moving.boxes_K9[:, 7:].any()


def test_autocast_gives_finite_losses_close_to_those_in_float32(detector: Detector):
    batch = random_batch()
    detector.eval()
    plain = detector.losses(detector(batch), batch)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = detector.losses(detector(batch), batch)
    for name in plain:
        assert mixed[name].dtype == torch.float32
        assert mixed[name].item() == pytest.approx(plain[name].item(), rel=0.1)


def test_grids_and_pillars_that_do_not_divide_are_refused():
    with pytest.raises(UserError, match="multiple of 8 cells"):
        build(run(SLIM_STUDENT, GridSpec(10.0, 1.0)))
    with pytest.raises(UserError, match="do not fit cells"):
        build(run(replace(SLIM_TEACHER, pillar_m=0.3)))


def test_the_teacher_overfits_one_batch():
    batch = random_batch(1)
    teacher = Teacher(replace(SLIM_TEACHER, layers=(1, 1, 1), pillar_m=0.8), SLIM_GRID)
    assert_learned(teacher, batch, overfit(teacher, batch, steps=50, lr=1e-2))


@pytest.mark.slow
def test_the_student_overfits_one_batch():
    batch = random_batch(1)
    student = BEVDepth(replace(SLIM_STUDENT, depth_weight=10.0), SLIM_GRID)
    assert_learned(student, batch, overfit(student, batch, steps=60, lr=1e-2))


def assert_learned(detector: Detector, batch: Batch, history: list[float]) -> None:
    matched, yaw, size, velocity = mean_errors(detector, batch)
    assert history[-1] < 0.05 * history[0]
    assert matched == 1
    assert yaw < 0.1
    assert size < 0.1
    assert velocity < 0.2
