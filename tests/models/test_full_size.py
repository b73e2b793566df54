"""The published sizes: shapes, weights, and one forward and backward of each preset on a CPU within 24 GB.

Each step runs in a separate process, to measure its peak memory.
"""

from __future__ import annotations

import dataclasses
import math
import resource
from concurrent.futures import ProcessPoolExecutor

import forked
import pytest
import torch
from batches import random_batch

from dualdistill.config import method_options
from dualdistill.config.run_spec import (
    BEVDepthSpec,
    GridSpec,
    LabelEncoderSpec,
    MVPSpec,
    StudentSpec,
    TeacherSpec,
)
from dualdistill.data.batch import Batch, Instances
from dualdistill.models import LabelEncoder, Teacher
from dualdistill.models.bevdepth.student import BEVDepth
from dualdistill.training.objective import LabelEncoderObjective, Objective, Teachers

GRID = GridSpec()
R50 = (BEVDepthSpec(), (256, 704))
LAYERS = ("layer1", "layer2", "layer3", "layer4")
R101 = (BEVDepthSpec(depth=101, activation_checkpoint=LAYERS), (512, 1408))
PILLARS = (TeacherSpec(), (16, 16))
VIRTUAL = (MVPSpec(), (16, 16))
STUDENT_TAPS = {
    "s0": (128, 128, 128),
    "s1": (128, 64, 64),
    "s2": (256, 32, 32),
    "s3": (512, 16, 16),
    "head": (256, 128, 128),
}
TEACHER_TAPS = {"t1": (64, 256, 256), "t2": (128, 128, 128), "t3": (256, 64, 64), "neck": (384, 128, 128)}


def millions(module: torch.nn.Module) -> float:
    return sum(weight.numel() for weight in module.parameters()) / 1e6


def test_the_full_size_student_has_the_published_taps_and_weights():
    student = BEVDepth(BEVDepthSpec(), GRID)
    assert student.tap_shapes() == STUDENT_TAPS
    assert millions(student.bev_encoder) == pytest.approx(12.5, abs=0.05)
    assert millions(student.bev_neck) == pytest.approx(6.6, abs=0.05)
    assert student.view_transform.depth_net.logits.out_channels == 59


def test_the_full_size_teacher_has_the_published_taps_and_weights():
    teacher = Teacher(TeacherSpec(), GRID)
    assert teacher.tap_shapes() == TEACHER_TAPS
    assert millions(teacher.pillars) == pytest.approx(0.001, abs=0.0005)
    assert millions(teacher.backbone) == pytest.approx(4.21, abs=0.005)
    assert millions(teacher.neck) == pytest.approx(0.18, abs=0.005)
    assert millions(teacher.head) == pytest.approx(1.59, abs=0.005)


def test_the_full_size_mvp_differs_only_in_its_first_layer():
    plain, virtual = Teacher(TeacherSpec(), GRID), Teacher(MVPSpec(), GRID)
    assert virtual.tap_shapes() == TEACHER_TAPS
    assert virtual.pillars.linear.weight.shape == (64, 22)
    assert plain.pillars.linear.weight.shape == (64, 10)
    sizes = ({name: weight.shape for name, weight in one.named_parameters()} for one in (plain, virtual))
    first, second = sizes
    assert [name for name in first if first[name] != second[name]] == ["pillars.linear.weight"]


def test_megvii_bins_and_loss_are_options_of_the_same_student():
    megvii = BEVDepthSpec(
        depth_bins_m=(2.0, 58.0, 0.5), depth_loss="megvii", depth_weight=3.0, context_channels=80
    )
    assert BEVDepth(megvii, GRID).view_transform.depth_net.logits.out_channels == 112


def step(spec: StudentSpec | TeacherSpec, image: tuple[int, int]) -> tuple[dict, bool, float]:
    """One forward and backward at batch 1: tap shapes, whether all is finite, peak memory in GB."""
    torch.manual_seed(0)
    detector = BEVDepth(spec, GRID) if isinstance(spec, StudentSpec) else Teacher(spec, GRID)
    batch = random_batch(1, grid=GRID, image=image, boxes=30, per_box=500)
    if isinstance(spec, MVPSpec):
        batch = dataclasses.replace(
            batch, points_PI=tuple(torch.rand(20_000, spec.columns) * 40 - 20 for _ in batch.points_PI)
        )
    output = detector(batch)
    total = sum(detector.losses(output, batch).values())
    total.backward()
    finite = all(weight.grad.isfinite().all().item() for weight in detector.parameters())
    shapes = {name: tuple(tap.shape[1:]) for name, tap in output.taps_BCHW.items()}
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return shapes, total.isfinite().item() and finite, peak_gb


@pytest.mark.slow
@pytest.mark.timeout(1800)  # ResNet-101 takes minutes of one core, more when it is shared
@pytest.mark.parametrize(
    ("preset", "taps"),
    [(R50, STUDENT_TAPS), (R101, STUDENT_TAPS), (PILLARS, TEACHER_TAPS), (VIRTUAL, TEACHER_TAPS)],
    ids=["bevdepth-r50", "bevdepth-r101", "centerpoint", "mvp"],
)
def test_one_full_size_step_fits_a_cpu_with_24_gb(preset: tuple, taps: dict[str, tuple[int, int, int]]):
    with ProcessPoolExecutor(1, mp_context=forked.CONTEXT) as alone:
        shapes, finite, peak_gb = alone.submit(step, *preset).result()
    assert shapes == taps
    assert finite
    assert peak_gb < 24


def test_one_full_size_step_of_a_label_encoder():
    teachers = Teachers(Teacher(TeacherSpec(), GRID))
    objective = LabelEncoderObjective(LabelEncoder(LabelEncoderSpec(), GRID, teachers.lidar.tap_shapes()))
    losses = objective(random_batch(1, grid=GRID, image=(16, 16), boxes=30, per_box=1), teachers, 0.0)
    torch.stack(list(losses.values())).sum().backward()
    assert all(weight.grad.isfinite().all() for weight in objective.parameters())


def with_objects(batch: Batch, image: tuple[int, int]) -> Batch:
    """Add the inputs of some methods: the box of every point, and three masks in every camera."""
    draw = torch.Generator().manual_seed(1)
    drawn = torch.randint(1, 31, batch.depth_BNhw.shape, generator=draw)
    masks_SHW = torch.zeros(3, *image, dtype=torch.bool)
    for number in range(3):
        masks_SHW[number, 60 * number : 60 * number + 50, 200 * number : 200 * number + 150] = True
    instances = Instances.of(masks_SHW, torch.tensor([0, 8, 3]), torch.tensor([0.9, 0.6, 0.8]))
    return dataclasses.replace(
        batch, owner_BNhw=drawn * (batch.depth_BNhw > 0), instances=((instances,) * 6,) * len(batch.tokens)
    )


def training_step(name: str) -> tuple[dict[str, float], bool, float]:
    """One step of R50 with a pillar teacher: losses, whether all is finite, peak memory in GB."""
    torch.manual_seed(0)
    spec, image = R50
    student, teacher = BEVDepth(spec, GRID), Teacher(TeacherSpec(), GRID)
    method = method_options.load(name)(**method_options.fill(name, {}))
    shapes = student.tap_shapes() | {"image": (spec.neck_channels, image[0] // 16, image[1] // 16)}
    method.bind(shapes, teacher.tap_shapes())
    method.prepare(student.head, teacher.head)
    encoder = LabelEncoder(LabelEncoderSpec(), GRID, teacher.tap_shapes()) if method.label_encoder else None
    objective = Objective(student, method)
    batch = with_objects(random_batch(1, grid=GRID, image=image, boxes=30, per_box=500), image)
    losses = objective(batch, Teachers(teacher, encoder), progress=0.0)
    torch.stack(list(losses.values())).sum().backward()
    graded = [weight.grad for weight in objective.parameters() if weight.grad is not None]
    finite = all(gradient.isfinite().all().item() for gradient in graded)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {name: loss.item() for name, loss in losses.items()}, finite, peak_gb


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", sorted(method_options.methods()))
def test_one_full_size_step_of_every_method_fits_a_cpu_with_24_gb(name: str):
    with ProcessPoolExecutor(1, mp_context=forked.CONTEXT) as alone:
        losses, finite, peak_gb = alone.submit(training_step, name).result()
    detection = {"heatmap", "box", "depth"}
    assert detection < set(losses)
    assert all(math.isfinite(loss) for loss in losses.values())
    assert all(losses[name] > 0 for name in set(losses) - detection)
    assert finite
    assert peak_gb < 24
