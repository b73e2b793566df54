"""Objects of other frames in a training frame: free places, their points alone, where their boxes are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet3d.datasets.transforms.dbsampler import DataBaseSampler
from numpy.typing import NDArray

from dualdistill.config.nuscenes import CLASSES
from dualdistill.config.run_spec import GridSpec, RunSpec, TeacherInputSpec, TeacherSpec
from dualdistill.data.dataset import FrameDataset
from dualdistill.data.geometry import Array, move_boxes, points_in_box
from dualdistill.data.pasted_objects.paste import FILLED_TO, choose, free, paste
from dualdistill.data.pasted_objects.reader import SCHEMA, ObjectDatabase
from dualdistill.store.files import sha256_file, write_json

CAR, TRUCK, CONE = (CLASSES.index(name) for name in ("car", "truck", "traffic_cone"))
OBJECT, FRAME = 99.0, 1.0  # intensities that say where a point comes from


def random_boxes(generator: np.random.Generator, count: int, reach: float) -> Array:
    low, high = (-reach, -reach, -2, 0.4, 0.4, 0.5, -4, -9, -9), (reach, reach, 1, 12, 3, 4, 4, 9, 9)
    return generator.uniform(low, high, (count, 9))


def write_database(
    folder: Path, index_sha: str, boxes_O9: Array, labels_O: NDArray[np.int64], points: list[np.ndarray]
) -> None:
    """Write the files of a database by hand."""
    folder.mkdir(exist_ok=True)
    first = np.concatenate([[0], np.cumsum([len(points_PI) for points_PI in points])]).astype(np.int64)
    np.savez(folder / "objects.npz", boxes=boxes_O9, labels=labels_O, first_point=first)
    np.concatenate(points).astype("<f4").tofile(folder / "points.bin")
    manifest = {"schema": SCHEMA, "index_sha": index_sha, "columns": 5, "points": int(first[-1])}
    sha256 = {name: sha256_file(folder / name) for name in ("objects.npz", "points.bin")}
    write_json(folder / "objects.json", manifest | {"sha256": sha256})


def points_within(box_9: Array, count: int, intensity: float, generator: np.random.Generator) -> np.ndarray:
    """Points [P, 5] strictly inside a box."""
    local = generator.uniform(-0.49, 0.49, (count, 3)) * box_9[3:6]
    cosine, sine = np.cos(box_9[6]), np.sin(box_9[6])
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    rest = np.tile([intensity, 0.1], (count, 1))
    return np.hstack([local @ turn.T + box_9[:3], rest]).astype(np.float32)


def random_database(folder: Path, generator: np.random.Generator, count: int, reach: float) -> ObjectDatabase:
    boxes_O9 = random_boxes(generator, count, reach)
    points = [
        points_within(box_9, 3 + number % 5, OBJECT, generator) for number, box_9 in enumerate(boxes_O9)
    ]
    write_database(folder, "sha", boxes_O9, generator.integers(0, len(CLASSES), count), points)
    return ObjectDatabase(folder, SimpleNamespace(sha="sha"))


def overlap(a_9: Array, b_9: Array) -> bool:
    """Separating axes of two rectangles seen from above, written without the code under test."""

    def outline(box_9: Array) -> Array:
        forward = np.array([np.cos(box_9[6]), np.sin(box_9[6])]) * box_9[3] / 2
        left = np.array([-np.sin(box_9[6]), np.cos(box_9[6])]) * box_9[4] / 2
        return box_9[:2] + np.array([forward + left, forward - left, -forward - left, left - forward])

    first, second = outline(a_9), outline(b_9)
    for axis in (first[0] - first[1], first[1] - first[2], second[0] - second[1], second[1] - second[2]):
        one, other = first @ axis, second @ axis
        if one.max() < other.min() or other.max() < one.min():
            return False
    return True


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), reach=st.sampled_from([5.0, 20.0, 50.0]))
def test_pasted_objects_overlap_nothing_and_their_boxes_hold_their_points_alone(
    tmp_path_factory: pytest.TempPathFactory, seed: int, reach: float
) -> None:
    generator = np.random.default_rng(seed)
    database = random_database(tmp_path_factory.mktemp("database"), generator, 120, reach)
    present_K9 = random_boxes(generator, 20, reach)
    labels_K = generator.integers(0, len(CLASSES), 20)
    cloud = np.hstack([generator.uniform(-reach, reach, (3000, 3)) * (1, 1, 0.05), np.full((3000, 2), FRAME)])
    cloud = cloud.astype(np.float32)
    boxes_K9, all_labels_K, points_PI = paste(
        database, present_K9, labels_K, cloud, np.random.default_rng(seed)
    )
    added_K9, added_labels_K = boxes_K9[20:], all_labels_K[20:]
    assert np.array_equal(boxes_K9[:20], present_K9)
    assert np.array_equal(all_labels_K[:20], labels_K)
    for number, box_9 in enumerate(added_K9):
        assert not any(overlap(box_9, other_9) for other_9 in boxes_K9[: 20 + number])
    for label, name in enumerate(CLASSES):
        present = int((labels_K == label).sum())
        assert int((added_labels_K == label).sum()) <= max(0, FILLED_TO[name] - present)
    in_a_pasted_box = np.zeros(len(points_PI), dtype=bool)
    for box_9 in added_K9:
        in_a_pasted_box |= points_in_box(box_9, points_PI[:, :3])
    assert (points_PI[in_a_pasted_box, 3] == OBJECT).all()
    originals = [np.flatnonzero((database.boxes_O9 == box_9).all(axis=1))[0] for box_9 in added_K9]
    assert (points_PI[:, 3] == OBJECT).sum() == sum(len(database.points(number)) for number in originals)
    kept = points_PI[points_PI[:, 3] == FRAME]
    covered = np.zeros(len(cloud), dtype=bool)
    for box_9 in added_K9:
        covered |= points_in_box(box_9, cloud[:, :3])
    assert np.array_equal(kept, cloud[~covered])


def test_the_rule_of_collisions_is_that_of_mmdet3d() -> None:
    generator = np.random.default_rng(4)
    sampler = object.__new__(DataBaseSampler)
    rejected = 0
    for _ in range(60):
        present_K9, candidates_K9 = random_boxes(generator, 6, 14.0), random_boxes(generator, 7, 14.0)
        infos = [{"box3d_lidar": box_9, "number": number} for number, box_9 in enumerate(candidates_K9)]
        sampler.sampler_dict = {"car": SimpleNamespace(sample=lambda count, infos=infos: infos)}
        theirs = [info["number"] for info in sampler.sample_class_v2("car", 7, present_K9)]
        assert np.flatnonzero(free(present_K9, candidates_K9)).tolist() == theirs
        rejected += 7 - len(theirs)
    assert rejected > 100


def test_a_frame_with_enough_boxes_of_a_class_gets_no_more_of_it(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    boxes_O9 = np.zeros((40, 9))
    boxes_O9[:, 0], boxes_O9[:, 3:6] = 5 + 3 * np.arange(40), 1.0
    labels_O = np.repeat([CAR, CONE], 20)
    write_database(
        tmp_path, "sha", boxes_O9, labels_O, [points_within(box_9, 5, 1, generator) for box_9 in boxes_O9]
    )
    database = ObjectDatabase(tmp_path, SimpleNamespace(sha="sha"))
    present_K9 = np.zeros((3, 9))
    present_K9[:, 3:6] = 0.5
    chosen = choose(database, present_K9, np.array([CAR, CONE, CONE]), generator)
    assert database.labels_O[chosen].tolist() == [CAR]
    chosen = choose(database, present_K9, np.array([TRUCK] * 3), generator)
    assert sorted(database.labels_O[chosen].tolist()) == [CAR, CAR, CONE, CONE]


@pytest.fixture
def frames(toy, tmp_path: Path, student_spec: RunSpec):
    """Frames of a teacher that is given one truck, long and off the diagonal, with points in one corner."""
    box_9 = np.array([30.0, 9.0, -0.5, 9.0, 2.5, 3.0, 0.4, 5.0, -2.0])
    points = points_within(box_9, 200, OBJECT, np.random.default_rng(1))
    local = (points[:, :2] - box_9[:2]) @ np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    corner = points[(local > (2, 0)).all(axis=1)]  # ahead and to the left of its centre
    assert len(corner) > 20
    write_database(tmp_path / "objects", toy.index.sha, box_9[None], np.array([TRUCK]), [corner])
    teacher = replace(
        student_spec, kind="teacher", model=TeacherSpec(), input=TeacherInputSpec(sweeps=3), grid=GridSpec()
    )

    def make(*, train: bool = True, objects: bool = True) -> FrameDataset:
        return FrameDataset(
            toy.index,
            toy.root,
            None,
            "train",
            teacher,
            train=train,
            images=False,
            points=True,
            objects=tmp_path / "objects" if objects else None,
        )

    return make, box_9, corner


def test_a_pasted_object_lies_where_its_box_is_after_augmentation(frames) -> None:
    make, box_9, corner = frames
    for draw in range(6):
        with_object, without = (make(objects=objects).get(2, draw) for objects in (True, False))
        assert len(with_object.boxes_K9) == len(without.boxes_K9) + 1
        assert torch.equal(with_object.boxes_K9[:-1], without.boxes_K9)
        assert with_object.labels_K[-1] == TRUCK
        affine = with_object.bev_affine_44.double().numpy()
        assert np.allclose(with_object.boxes_K9[-1], move_boxes(affine, box_9[None])[0], atol=1e-4)
        moved = with_object.points_PI[with_object.points_PI[:, 3] == OBJECT].numpy()
        assert np.allclose(moved[:, :3], corner[:, :3] @ affine[:3, :3].T + affine[:3, 3], atol=1e-4)
        # boxes grow a little: float32 points may lie on a surface
        here_9 = with_object.boxes_K9[-1].double().numpy() + np.repeat([0, 0.01, 0], 3)
        assert points_in_box(here_9, moved[:, :3]).all()
        assert not points_in_box(here_9[[0, 1, 2, 4, 3, 5, 6, 7, 8]], moved[:, :3]).any()
        inside = points_in_box(here_9, with_object.points_PI[:, :3].numpy())
        assert (with_object.points_PI[inside][:, 3] == OBJECT).all()


def test_nothing_is_pasted_in_testing_and_training_draws_by_seed_and_draw_alone(
    frames, toy, tmp_path: Path
) -> None:
    make, _, _ = frames
    assert torch.equal(make(train=False).get(2).points_PI, make(train=False, objects=False).get(2).points_PI)
    generator = np.random.default_rng(3)
    boxes_O9 = random_boxes(generator, 60, 50.0)
    points = [points_within(box_9, 5, OBJECT, generator) for box_9 in boxes_O9]
    write_database(tmp_path / "objects", toy.index.sha, boxes_O9, generator.integers(0, 10, 60), points)
    first, again, other = (make().get(1, draw) for draw in (4, 4, 5))
    assert torch.equal(first.boxes_K9, again.boxes_K9)
    assert torch.equal(first.points_PI, again.points_PI)
    assert len(first.boxes_K9) != len(other.boxes_K9) or not torch.equal(first.labels_K, other.labels_K)


def test_objects_of_the_real_frames_mirror_image_land_in_free_places_of_the_real_frame(
    real_frame, tmp_path: Path
) -> None:
    mirror = np.diag([-1.0, 1, 1, 1])
    cloud = np.hstack([real_frame.points_P5[:, :4], np.zeros((len(real_frame.points_P5), 1), np.float32)])
    held = [cloud[points_in_box(box_9, cloud[:, :3])] for box_9 in real_frame.boxes_K9]
    cut = [number for number, points in enumerate(held) if len(points) >= 5]
    assert len(cut) == 29
    boxes_O9 = move_boxes(mirror, real_frame.boxes_K9[cut])
    points = [held[number] * np.float32([-1, 1, 1, 1, 1]) for number in cut]
    write_database(tmp_path, "sha", boxes_O9, np.arange(len(cut)) % len(CLASSES), points)
    database = ObjectDatabase(tmp_path, SimpleNamespace(sha="sha"))
    crowd = np.full(len(real_frame.boxes_K9), CAR)  # enough cars, none of the other classes
    boxes_K9, labels_K, pasted = paste(database, real_frame.boxes_K9, crowd, cloud, np.random.default_rng(0))
    added = range(len(crowd), len(boxes_K9))
    assert len(added) >= 10
    assert (labels_K[len(crowd) :] != CAR).all()
    cleared = np.zeros(len(cloud), dtype=bool)
    for number in added:
        assert not any(overlap(boxes_K9[number], other_9) for other_9 in boxes_K9[:number])
        original = int(np.flatnonzero((boxes_O9[:, :3] == boxes_K9[number, :3]).all(axis=1))[0])
        inside = pasted[points_in_box(boxes_K9[number], pasted[:, :3])]
        assert np.array_equal(inside, points[original])
        cleared |= points_in_box(boxes_K9[number], cloud[:, :3])
    assert cleared.any()
    assert np.array_equal(pasted[-(~cleared).sum() :], cloud[~cleared])
