"""Same weights, same inputs, same outputs as the released modules at every recorded place.

The arrays are in tests/golden/released/, whose README says how they were made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache

import pytest
import released_goldens as goldens
import torch
from released_goldens import difference
from torch import Tensor, nn

from dualdistill.config.run_spec import HeadSpec, TeacherHeadSpec
from dualdistill.data.batch import Detections
from dualdistill.models.bevdepth.geometry import EXACT, RELEASED, Geometry
from dualdistill.models.bevdepth.student import BEVDepth
from dualdistill.models.bevdepth.view_transform import plan_splat, unproject
from dualdistill.models.center_head import Head
from dualdistill.models.centerpoint.teacher import Teacher

CLOSE = 1e-4  # of the largest value
# golden c: the released code with bins at their middles and cells at multiples of the stride
BETWEEN = dataclasses.replace(RELEASED, bin_at=EXACT.bin_at, stretched=EXACT.stretched)
BEFORE_LIFT = ("backbone", "neck", "context", "camera_gate", "depth")


def places(student: BEVDepth) -> dict[str, nn.Module]:
    """Modules whose outputs were recorded for both frames."""
    backbone, view = student.image_encoder.backbone, student.view_transform
    return {
        "backbone.layer2": backbone.layer2,
        "backbone.layer3": backbone.layer3,
        "backbone.layer4": backbone.layer4,
        "neck": student.image_encoder,
        "context": view.depth_net.context,
        "camera_gate": view.depth_net.gate,
        "depthnet_trunk": view.depth_net.trunk,
        "depthnet_dcn": view.depth_net.deformable,
        "depth_logits": view.depth_net.logits,
        "bev_lifted": view,
        "bev_preprocessed": student.refine,
    }


@cache
@torch.no_grad()
def student_outputs(geometry: Geometry, deformable: bool) -> dict[str, Tensor]:
    """Ours at every place that was recorded, under the released names."""
    student, batch = goldens.student(deformable=deformable), goldens.student_batch()
    student.view_transform.geometry = geometry
    seen: dict[str, list[Tensor]] = {name: [] for name in (*places(student), "depthnet_gated")}

    def keep(name: str) -> Callable[..., None]:
        return lambda _, inputs, output: seen[name].append(output[0] if isinstance(output, tuple) else output)

    for name, module in places(student).items():
        module.register_forward_hook(keep(name))
    trunk = student.view_transform.depth_net.trunk
    trunk.register_forward_pre_hook(lambda _, inputs: seen["depthnet_gated"].append(inputs[0].clone()))
    output = student(batch)
    named = {f"{name}.{frame}": both[i] for name, both in seen.items() for i, frame in enumerate(FRAMES)}
    taps = output.taps_BCHW
    return (
        named
        | {f"depth_softmax.{frame}": named[f"depth_logits.{frame}"].softmax(dim=1) for frame in FRAMES}
        | {"bev_aligned.prev": taps["s0"].chunk(2, dim=1)[1], "fpn": taps["head"]}
        | {name: taps[name] for name in ("s0", "s1", "s2", "s3")}
        | goldens.their_convention(output.predictions)
        | lifted(student, geometry)
    )


FRAMES = ("cur", "prev")


def lifted(student: BEVDepth, geometry: Geometry) -> dict[str, Tensor]:
    """Lifted points of the first two cameras, and pixels and depths of the lifted map, as recorded."""
    batch, cpu = goldens.student_batch(), torch.device("cpu")
    pixels_hw2 = geometry.pixels(4, 11, student.spec.feature_stride, cpu)
    depths_D = geometry.depths(student.spec.depth_bins_m, cpu)
    cameras = (batch.intrinsics_BFN33, batch.image_affine_BFN33, batch.camera_to_lidar_BFN44)
    points_BNhwD3 = unproject(pixels_hw2, depths_D, *(part[:1, 0, :2] for part in cameras))
    pixels_Dhw2 = pixels_hw2.expand(len(depths_D), -1, -1, -1)
    depths_Dhw1 = depths_D[:, None, None, None].expand(-1, 4, 11, 1)
    return {
        "geometry.cur": points_BNhwD3.permute(0, 1, 4, 2, 3, 5),
        "frustum": torch.cat([pixels_Dhw2, depths_Dhw1], dim=-1),
    }


def student_differences(golden: str, geometry: Geometry, deformable: bool) -> dict[str, float]:
    """Per recorded place; golden c holds only the places where it differs from a."""
    recorded = goldens.arrays("student", "a") | goldens.arrays("student", golden)
    ours = student_outputs(geometry, deformable)
    return {name: difference(ours[name], values) for name, values in recorded.items()}


@pytest.mark.parametrize(
    ("golden", "geometry", "deformable"), [("a", RELEASED, True), ("c", BETWEEN, False)], ids=["a", "c"]
)
def test_the_student_equals_the_released_one_at_every_place(
    golden: str, geometry: Geometry, deformable: bool
):
    differences = student_differences(golden, geometry, deformable)
    assert len(differences) == 69  # 68 outputs, and the pixels and depths of the lifted map
    assert {name: value for name, value in differences.items() if not value < CLOSE} == {}


def test_exact_geometry_differs_from_the_released_one_only_behind_the_lift():
    differences = student_differences("a", EXACT, True)
    before = {name for name in differences if name.startswith(BEFORE_LIFT)}
    assert {name for name, value in differences.items() if value < CLOSE} == before
    assert min(value for name, value in differences.items() if name.startswith("head")) > 0.01


def test_exact_geometry_lifts_a_released_cell_up_to_a_stride_and_half_a_bin_away():
    released, exact = (student_outputs(geometry, True)["frustum"] for geometry in (RELEASED, EXACT))
    apart_3 = (released - exact).abs().amax(dim=(0, 1, 2))
    assert apart_3.tolist() == [15.0, 15.0, 0.5]


def test_exact_geometry_drops_the_points_below_the_ground_and_the_lower_edges():
    """13 % of the points that the released code sums stand below -10 m."""
    batch, cpu = goldens.student_batch(), torch.device("cpu")
    pixels_hw2, depths_D = RELEASED.pixels(4, 11, 16, cpu), RELEASED.depths((1.0, 60.0, 1.0), cpu)
    cameras = (batch.intrinsics_BFN33, batch.image_affine_BFN33, batch.camera_to_lidar_BFN44)
    points = unproject(pixels_hw2, depths_D, *(part[:, 0] for part in cameras))
    kept, rest = (
        set(plan_splat(points, goldens.STUDENT_GRID, geometry).point_L.tolist())
        for geometry in (RELEASED, EXACT)
    )
    assert rest < kept
    dropped_L3 = points.reshape(-1, 3)[list(kept - rest)]
    low_L = dropped_L3[:, 2] < -10
    beyond_L = (dropped_L3[:, :2] < -goldens.STUDENT_GRID.half_extent_m).any(dim=1)
    assert (low_L | beyond_L).all()
    assert low_L.sum().item() / len(kept) == pytest.approx(0.13, abs=0.005)
    assert beyond_L.any()


@cache
@torch.no_grad()
def teacher_outputs(kind: str) -> tuple[Teacher, dict[str, Tensor]]:
    teacher, batch = goldens.teacher(kind), goldens.teacher_batch(kind)
    canvases: list[Tensor] = []
    teacher.pillars.register_forward_hook(lambda _, inputs, output: canvases.append(output))
    output = teacher(batch)
    sample_Q, _, row_Q, column_Q = goldens.arrays(f"teacher_{kind}", "outputs")["pillar_coors"].long().T
    return teacher, {
        "canvas": canvases[0],
        "pillar_features": canvases[0][sample_Q, :, row_Q, column_Q],
        **{name: output.taps_BCHW[name] for name in ("t1", "t2", "t3", "neck")},
        **goldens.their_convention(output.predictions),
    }


def teacher_differences(kind: str) -> dict[str, float]:
    recorded = goldens.arrays(f"teacher_{kind}", "outputs")
    _, ours = teacher_outputs(kind)
    return {name: difference(ours[name], recorded[name]) for name in ours}


@pytest.mark.parametrize("kind", goldens.TEACHERS)
def test_a_teacher_equals_the_released_one_at_every_place(kind: str):
    differences = teacher_differences(kind)
    coordinates = {"point_coors", "pillar_coors"}
    assert differences.keys() | coordinates == goldens.arrays(f"teacher_{kind}", "outputs").keys()
    assert {name: value for name, value in differences.items() if not value < CLOSE} == {}


@pytest.mark.parametrize("kind", goldens.TEACHERS)
def test_every_point_falls_into_the_pillar_of_the_released_teacher(kind: str):
    teacher, _ = teacher_outputs(kind)
    sample_P, _, row_P, column_P = goldens.arrays(f"teacher_{kind}", "outputs")["point_coors"].long().T
    expected_P = ((sample_P * 128 + row_P) * 128 + column_P)[row_P >= 0]
    _, cell_P, _ = teacher.pillars._assign(goldens.teacher_batch(kind).points_PI)
    assert 0 < len(expected_P) < len(row_P)
    assert torch.equal(cell_P, expected_P)


def decoded(spec: HeadSpec) -> list[Detections]:
    return Head(16, spec, goldens.DECODE_GRID).decode(goldens.raw_predictions())


HEADS = {"student": HeadSpec(), "teacher": TeacherHeadSpec()}


def decode_difference(ours: Detections, boxes_K9: Tensor, scores_K: Tensor, labels_K: Tensor) -> float:
    """Largest relative difference of a column or the scores; order and labels have to be the same."""
    assert ours.labels_K.tolist() == labels_K.tolist()
    boxes_K9 = boxes_K9.clone()
    turns_K = (ours.boxes_K9[:, 6] - boxes_K9[:, 6]) / (2 * torch.pi)
    boxes_K9[:, 6] += 2 * torch.pi * turns_K.round()
    columns = zip(ours.boxes_K9.T, boxes_K9.T, strict=True)
    return max(difference(ours.scores_K, scores_K), *(difference(*column) for column in columns))


@pytest.mark.parametrize("kind", HEADS)
def test_decoding_keeps_the_boxes_of_the_released_configuration(kind: str):
    for sample, ours in enumerate(decoded(HEADS[kind])):
        final = goldens.arrays("decode", f"{kind}.final")
        expected = (final[f"sample{sample}.{part}"] for part in ("boxes", "scores", "labels"))
        assert len(ours.labels_K) > 400
        assert decode_difference(ours, *expected) < CLOSE


def test_the_rule_of_each_task_changes_boxes_of_barriers_pedestrians_and_cones():
    """Of 83 boxes of a task, by the number that one rule for all tasks keeps and the published rule drops."""
    rule = HEADS["student"]
    same = dataclasses.replace(rule, nms_iou=(0.2,) * 6, circle_nms_m=(0.0,) * 6)
    changed = [0] * 6
    for published, uniform in zip(decoded(rule), decoded(same), strict=True):
        for task, labels in enumerate(((0,), (1, 2), (3, 4), (5,), (6, 7), (8, 9))):
            first, second = (
                {
                    tuple(box)
                    for box, label in zip(found.boxes_K9.tolist(), found.labels_K.tolist(), strict=True)
                    if label in labels
                }
                for found in (published, uniform)
            )
            changed[task] += len(second - first)
    assert changed[:3] == [0, 0, 0]
    assert changed[4] == 0
    assert changed[3] > 0
    assert changed[5] > 40


def test_candidates_are_those_of_the_released_coder():
    """The best 83 of each task, before any NMS."""
    recorded, head = goldens.arrays("decode", "candidates"), Head(16, TeacherHeadSpec(), goldens.DECODE_GRID)
    for task, prediction in enumerate(goldens.raw_predictions()):
        for sample, candidates in enumerate(head._candidates(prediction, 1.0, "sharpened")):
            boxes_K9, scores_K, labels_K = (
                recorded[f"task{task}.sample{sample}.{part}"] for part in ("boxes", "scores", "labels")
            )
            boxes, labels, scores, _ = (part[: len(scores_K)] for part in candidates)
            expected = (goldens.counter_clockwise(boxes_K9), scores_K, labels_K)
            assert decode_difference(Detections(boxes, scores, labels), *expected) < CLOSE
