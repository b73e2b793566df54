"""Degraded LiDAR of a teacher: dropped rings, range noise, and the runs they apply to."""

from __future__ import annotations

from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dualdistill.config.run_spec import (
    BEVDepthSpec,
    DataSpec,
    GridSpec,
    InputSpec,
    RunSpec,
    ScheduleSpec,
    TeacherInputSpec,
    TeacherSpec,
)
from dualdistill.data.dataset import FrameDataset
from dualdistill.data.lidar_sweeps import DegradedClouds

RINGS, SHOTS = 32, 500


class Stored:
    """Returns of a turn at distances from 2 to 40 m, ring by ring."""

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        rays = generator.standard_normal((RINGS * SHOTS, 3))
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        points = np.empty((len(rays), 5), np.float32)
        points[:, :3] = rays * generator.uniform(2, 40, (len(rays), 1))
        points[:, 3] = generator.uniform(0, 255, len(rays))
        points[:, 4] = np.repeat(np.arange(RINGS), SHOTS)
        self.points_P5 = points
        self.index = SimpleNamespace(path=lambda record: f"sweeps/{record}.bin")

    def returns(self, record: int) -> np.ndarray:
        return self.points_P5.copy()


@pytest.fixture
def stored() -> Stored:
    return Stored()


def cloud(stored: Stored, record: int = 0, **keys: float) -> np.ndarray:
    return DegradedClouds(stored, TeacherInputSpec(**keys)).cloud(record)


@pytest.mark.parametrize(("every", "kept"), [(1, 32), (2, 16), (4, 8), (8, 4), (5, 7)])
def test_every_kth_ring_stays_whole_and_in_place(stored: Stored, every: int, kept: int) -> None:
    points = cloud(stored, every_ring=every)
    expected = stored.points_P5[stored.points_P5[:, 4] % every == 0, :4]
    assert len(points) == kept * SHOTS
    assert np.array_equal(points, expected)


def test_noise_moves_returns_along_their_ray_by_the_configured_deviation(stored: Stored) -> None:
    before_P3, points = stored.points_P5[:, :3].astype(np.float64), cloud(stored, range_noise_m=0.5)
    after_P3 = points[:, :3].astype(np.float64)
    before_m, after_m = (np.linalg.norm(points, axis=1) for points in (before_P3, after_P3))
    far = before_m > 5
    cosine = np.einsum("pc,pc->p", before_P3, after_P3)[far] / before_m[far] / after_m[far]
    assert cosine.min() > 1 - 1e-6
    moved_m = (after_m - before_m)[far]
    assert abs(moved_m.mean()) < 4 * 0.5 / np.sqrt(len(moved_m))
    assert moved_m.std() == pytest.approx(0.5, rel=0.02)
    assert np.array_equal(points[:, 3], stored.points_P5[:, 3])


def test_the_noise_of_a_return_depends_on_neither_epoch_nor_dropped_rings(stored: Stored) -> None:
    whole = cloud(stored, range_noise_m=0.5)
    assert np.array_equal(whole, cloud(stored, range_noise_m=0.5))
    assert not np.array_equal(whole, cloud(stored, 1, range_noise_m=0.5))
    half = cloud(stored, range_noise_m=0.5, every_ring=2)
    assert np.array_equal(half, whole[stored.points_P5[:, 4] % 2 == 0])


def test_noise_never_puts_a_return_behind_the_sensor(stored: Stored) -> None:
    stored.points_P5[:, :3] *= 0.01
    stored.points_P5[0, :3] = 0
    points = cloud(stored, range_noise_m=3.0)
    assert np.isfinite(points).all()
    assert np.einsum("pc,pc->p", points[:, :3], stored.points_P5[:, :3]).min() >= 0


def test_a_student_run_uses_the_degradation_of_its_teacher() -> None:
    teacher = RunSpec(
        kind="teacher",
        seed=0,
        data=DataSpec("world", "v", "a", "b", "c"),
        grid=GridSpec(),
        input=TeacherInputSpec(every_ring=4),
        model=TeacherSpec(),
        schedule=ScheduleSpec(),
        threads=1,
        versions={},
    )
    student = replace(teacher, kind="student", input=InputSpec(), model=BEVDepthSpec(), teacher=teacher)
    alone = replace(student, teacher=None)
    assert teacher.degraded == student.degraded == teacher.input
    assert alone.degraded is None


def test_degraded_rings_change_the_points_but_not_the_depth_targets(world, student_spec: RunSpec) -> None:
    teacher = replace(student_spec, kind="teacher", model=TeacherSpec())
    worse = replace(teacher, input=TeacherInputSpec(**asdict(teacher.input), every_ring=4, range_noise_m=0.1))
    whole, less = (
        FrameDataset(
            world.index,
            world.root,
            None,
            "train",
            replace(student_spec, teacher=taught_by),
            train=True,
            images=True,
            points=True,
        ).get(1)
        for taught_by in (teacher, worse)
    )
    assert len(whole.points_PI) / 6 < len(less.points_PI) < len(whole.points_PI) / 3
    assert torch.equal(whole.cameras.depth_Nhw, less.cameras.depth_Nhw)
    assert torch.equal(whole.boxes_K9, less.boxes_K9)
