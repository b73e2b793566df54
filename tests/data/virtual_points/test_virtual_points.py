"""Virtual points: position, number, and the 17 columns of the teacher's clouds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dualdistill.config.nuscenes import CLASSES
from dualdistill.config.run_spec import GridSpec, MVPSpec, RunSpec, TeacherSpec
from dualdistill.data.batch import Batch
from dualdistill.data.dataset import FrameDataset, collate
from dualdistill.data.geometry import Array, inverse, move_points, points_in_box, project
from dualdistill.data.index import LIDAR_COLUMN, Index
from dualdistill.data.lidar_sweeps import load_sweeps
from dualdistill.data.masks import Instance
from dualdistill.data.virtual_points.lift import CameraView, lift
from dualdistill.data.virtual_points.reader import VirtualClouds, cloud_path, with_virtual
from dualdistill.errors import DataError
from dualdistill.store.files import write_json

HEIGHT, WIDTH = 90, 160
INTRINSICS = np.array([[80.0, 0, 82.0], [0, 80.0, 47.0], [0, 0, 1]])
# camera axes right, down, ahead in LIDAR_TOP's right, ahead, up; shifted, so that a missing axis swap shows
CAMERA_FROM_LIDAR = np.array([[1.0, 0, 0, 0.2], [0, 0, -1, -0.3], [0, 1, 0, -0.7], [0, 0, 0, 1]])
CAR, BUS = CLASSES.index("car"), CLASSES.index("bus")


def in_lidar(camera_P3: Array) -> np.ndarray:
    """Points with an intensity, as a cloud has them."""
    points_P3 = move_points(inverse(CAMERA_FROM_LIDAR), camera_P3)
    return np.hstack([points_P3, np.full((len(points_P3), 1), 7.0)]).astype(np.float32)


def rectangle(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask_HW = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask_HW[top:bottom, left:right] = True
    return mask_HW


def lifted(points_P4: np.ndarray, *instances: Instance, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Painted and virtual points of a single view."""
    view = CameraView(list(instances), INTRINSICS, CAMERA_FROM_LIDAR, (HEIGHT, WIDTH))
    rows = lift(points_P4, [view], 50, np.random.default_rng(seed))
    return rows[rows[:, 3] >= 0], rows[rows[:, 3] < 0]


def plate(depth_m: float, count: int = 40) -> np.ndarray:
    """Points of an upright wall straight ahead."""
    generator = np.random.default_rng(1)
    xy_P2 = generator.uniform((-4, -2), (4, 2), (count, 2))
    return in_lidar(np.hstack([xy_P2, np.full((count, 1), depth_m)]))


def to_pixels(points_P3: np.ndarray) -> np.ndarray:
    return project(INTRINSICS, move_points(CAMERA_FROM_LIDAR, points_P3.astype(np.float64)))


def test_virtual_points_of_a_plate_lie_on_the_plate_and_in_its_mask() -> None:
    mask_HW = rectangle(30, 60, 60, 120)
    painted, virtual = lifted(plate(8.0), Instance(CAR, 0.7, mask_HW))
    assert len(virtual) == 50
    uvz = to_pixels(virtual[:, :3])
    assert np.abs(uvz[:, 2] - 8.0).max() < 1e-4
    # the middle of the pixel that was drawn, far less than a pixel off
    assert np.abs(uvz[:, :2] % 1 - 0.5).max() < 1e-3
    assert mask_HW[uvz[:, 1].astype(int), uvz[:, 0].astype(int)].all()
    assert len(np.unique(uvz[:, :2].astype(int), axis=0)) == 50
    assert (virtual[:, 3:] == np.array([-1, CAR, 0.7], np.float32)).all()
    inside = to_pixels(plate(8.0)[:, :3])
    held = mask_HW[inside[:, 1].astype(int), inside[:, 0].astype(int)]
    assert 0 < held.sum() < 40
    assert np.array_equal(painted[:, :4], plate(8.0)[held])
    assert (painted[:, 4:] == np.array([CAR, 0.7], np.float32)).all()


def test_a_pixel_takes_the_depth_of_the_nearest_point_of_the_same_instance() -> None:
    # two points of one mask left and right, and a third, nearer to most of its pixels, outside of it
    rays = np.array([[45.5, 45.5, 1.0], [114.5, 45.5, 1.0], [80.5, 75.5, 1.0]]) @ np.linalg.inv(INTRINSICS).T
    depth_P = np.array([6.0, 12.0, 30.0])
    _, virtual = lifted(in_lidar(rays * depth_P[:, None]), Instance(CAR, 1.0, rectangle(40, 40, 50, 120)))
    uvz = to_pixels(virtual[:, :3])
    left = np.abs(uvz[:, 0] - 45.5) < np.abs(uvz[:, 0] - 114.5)
    assert 0 < left.sum() < 50
    assert np.allclose(uvz[left, 2], 6.0, atol=1e-4)
    assert np.allclose(uvz[~left, 2], 12.0, atol=1e-4)


def test_a_mask_without_a_lidar_point_gives_no_virtual_point() -> None:
    empty, behind = np.zeros((0, 4), np.float32), plate(-8.0)
    for cloud in (empty, behind):
        painted, virtual = lifted(cloud, Instance(CAR, 1.0, rectangle(20, 40, 70, 120)))
        assert painted.shape == virtual.shape == (0, 6)


@pytest.mark.parametrize("pixels", [1, 7, 50, 4000])
def test_every_mask_with_a_point_gives_fifty_virtual_points(pixels: int) -> None:
    mask_HW = rectangle(20, 40, 70, 120)
    mask_HW.flat[np.flatnonzero(mask_HW)[pixels:]] = False
    row, column = np.argwhere(mask_HW)[0]
    ray = np.array([[column + 0.4, row + 0.6, 1.0]]) @ np.linalg.inv(INTRINSICS).T
    _, virtual = lifted(in_lidar(9 * ray), Instance(CAR, 1.0, mask_HW))
    assert len(virtual) == 50
    places = to_pixels(virtual[:, :3])[:, :2].astype(int)
    # a small mask repeats the first pixel that was drawn
    assert len(np.unique(places, axis=0)) == min(pixels, 50)
    assert (places[pixels:] == places[0]).all()


def test_where_masks_overlap_the_higher_score_takes_the_point_in_any_order() -> None:
    car, bus = Instance(CAR, 0.9, rectangle(20, 40, 70, 90)), Instance(BUS, 0.4, rectangle(20, 60, 70, 120))
    painted, virtual = lifted(plate(8.0), car, bus)
    reversed_order = lifted(plate(8.0), bus, car)
    assert np.array_equal(painted, reversed_order[0])
    assert np.array_equal(virtual, reversed_order[1])
    column = to_pixels(painted[:, :3])[:, 0]
    assert set(painted[column < 90, 4]) == {CAR}
    assert set(painted[column >= 90, 4]) == {BUS}
    assert not np.array_equal(virtual, lifted(plate(8.0), car, bus, seed=1)[1])


def test_virtual_points_of_an_object_lie_in_its_box() -> None:
    """A box off the diagonal, turned, long: a swapped axis or a missing transform moves points out."""
    box_9 = np.array([3.0, 11.0, -0.4, 4.6, 1.9, 1.6, 0.5, 0, 0])
    generator = np.random.default_rng(2)
    local_P3 = generator.uniform(-0.5, 0.5, (4000, 3))
    local_P3[np.arange(4000), generator.integers(0, 3, 4000)] = generator.choice([-0.5, 0.5], 4000)
    turn = np.array([[np.cos(0.5), -np.sin(0.5), 0], [np.sin(0.5), np.cos(0.5), 0], [0, 0, 1]])
    surface_P3 = (local_P3 * box_9[3:6]) @ turn.T + box_9[:3]
    pixels_P3 = to_pixels(surface_P3)
    mask_HW = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask_HW[pixels_P3[:, 1].astype(int), pixels_P3[:, 0].astype(int)] = True
    # LiDAR returns come from surfaces that face the camera: the nearest point of every pixel
    pixel_P = pixels_P3[:, 1].astype(int) * WIDTH + pixels_P3[:, 0].astype(int)
    order = np.lexsort((pixels_P3[:, 2], pixel_P))
    first = order[np.unique(pixel_P[order], return_index=True)[1]]
    cloud = np.hstack([surface_P3[first], np.ones((len(first), 1))]).astype(np.float32)[::3]
    _, virtual = lifted(cloud, Instance(CAR, 1.0, mask_HW))
    # the depth of a neighbouring pixel differs by the slope of the surface between the two
    grown_9 = box_9 + np.array([0, 0, 0, 0.8, 0.8, 0.8, 0, 0, 0])
    assert len(virtual) == 50
    assert points_in_box(grown_9, virtual[:, :3]).all()
    swapped_9 = box_9[[1, 0, 2, 3, 4, 5, 6, 7, 8]]
    assert not points_in_box(swapped_9, virtual[:, :3]).any()


def test_the_columns_are_the_published_ones() -> None:
    real = np.array([[1.0, 2, 3, 40]], np.float32)
    added = np.array([[1.0, 2, 3, 40, BUS, 0.25], [5, 6, 7, -1, CAR, 0.5]], np.float32)
    rows = with_virtual(real, added)
    one_hot = {label: np.eye(len(CLASSES))[label].tolist() for label in (CAR, BUS)}
    assert rows.tolist() == [
        [1, 2, 3, 40, *[1] * 11, 1],
        [1, 2, 3, 40, *one_hot[BUS], 0.25, 0],
        [5, 6, 7, -1, *one_hot[CAR], 0.5, -1],
    ]
    assert with_virtual(real, np.zeros((0, 6), np.float32)).shape == (1, 16)


def test_virtual_points_of_a_sweep_move_with_it(make_index: Callable[..., Index]) -> None:
    index = make_index()
    key = int(index.sample_key_record[3, LIDAR_COLUMN])
    real, added = np.array([[9.0, 4, 0, 1]], np.float32), np.array([[-6.0, 8, 1, -1, CAR, 0.5]], np.float32)
    points = load_sweeps(index, [key, key - 1], lambda record: with_virtual(real, added))
    assert points.shape == (4, 17)
    moved = inverse(index.record_sensor_to_global[key]) @ index.record_sensor_to_global[key - 1]
    assert np.allclose(points[3, :3], (moved @ (-6, 8, 1, 1))[:3], atol=1e-4)
    assert np.linalg.norm(points[3, :3] - points[1, :3]) > 1
    assert points[:, 15].tolist() == [1, -1, 1, -1]
    assert np.allclose(points[:, 16], [0, 0, 0.125, 0.125], atol=1e-6)


@pytest.fixture
def folder(toy, tmp_path: Path) -> Path:
    """One virtual point per cloud of the hand-made drive."""
    for record in np.flatnonzero(toy.index.record_channel == LIDAR_COLUMN):
        path = cloud_path(tmp_path, toy.index, int(record))
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.array([[5, 6, 0.5, -1, CAR, 0.5]], np.float32))
    write_json(tmp_path / "virtual.json", {"schema": 1, "index_sha": toy.index.sha})
    return tmp_path


def test_the_batches_of_a_student_contain_the_virtual_points_of_its_teacher(
    toy, folder: Path, student_spec: RunSpec
) -> None:
    teacher = replace(student_spec, kind="teacher", model=MVPSpec())
    plain = replace(student_spec, kind="teacher", model=TeacherSpec())
    assert replace(student_spec, teacher=teacher).virtual == teacher.virtual == MVPSpec().virtual
    assert replace(student_spec, teacher=plain).virtual is plain.virtual is student_spec.virtual is None
    distilled = replace(student_spec, teacher=teacher, grid=GridSpec())
    batches = []
    for virtual in (None, folder):
        data = FrameDataset(
            toy.index,
            toy.root,
            None,
            "train",
            distilled,
            train=True,
            images=True,
            points=True,
            virtual=virtual,
        )
        batches.append(collate([data[(2, 0)]]))
    without, batch = batches
    assert (without.points_PI[0].shape[1], batch.points_PI[0].shape[1]) == (5, 17)
    assert len(batch.points_PI[0]) == len(without.points_PI[0]) + 3
    virtual_P17 = batch.points_PI[0][batch.points_PI[0][:, 3] == -1]
    expected = batch.bev_affine_B44[0] @ torch.tensor([5, 6, 0.5, 1])
    assert torch.allclose(virtual_P17[0, :3], expected[:3], atol=1e-4)
    # the student's depth targets ignore them by default
    assert torch.equal(batch.depth_BNhw, without.depth_BNhw)


def test_depth_targets_of_virtual_points_belong_to_the_box_around_them(
    toy, folder: Path, student_spec: RunSpec
) -> None:
    rows, centre = toy.index.annotations(2), toy.index.annotation_centre.copy()
    key, place = int(toy.index.sample_key_record[2, LIDAR_COLUMN]), (1.0, 4.0, -0.3)
    to_global = toy.index.record_sensor_to_global[key]
    centre[rows] = (to_global @ (-60, -60, 0, 1))[:3]
    centre[rows.start + 3] = (to_global @ (*place, 1))[:3]
    np.save(cloud_path(folder, toy.index, key), np.array([[*place, -1, CAR, 0.5]], np.float32))
    size = np.full_like(toy.index.annotation_size_wlh, 0.2)
    index = replace(toy.index, annotation_centre=centre, annotation_size_wlh=size)
    write_json(folder / "virtual.json", {"schema": 1, "index_sha": index.sha})
    teacher = replace(student_spec, kind="teacher", model=MVPSpec())

    def batch(depth_points: str) -> Batch:
        changed = replace(student_spec.input, depth_points=depth_points)
        spec = replace(student_spec, input=changed, teacher=teacher, grid=GridSpec())
        where = (index, toy.root, None, "train", spec)
        return collate([FrameDataset(*where, train=True, images=True, points=True, virtual=folder)[(2, 0)]])

    plain, virtual = batch("lidar"), batch("virtual")
    changed_BNhw = plain.depth_BNhw != virtual.depth_BNhw
    assert changed_BNhw.any()
    assert not plain.owner_BNhw.any()
    assert virtual.owner_BNhw[changed_BNhw].eq(1).all()  # the only box that lies on the grid
    point = plain.bev_affine_B44[0].double() @ torch.tensor([*place, 1], dtype=torch.float64)
    for camera in changed_BNhw[0].flatten(1).any(dim=1).nonzero().flatten().tolist():
        in_camera = torch.linalg.solve(plain.camera_to_lidar_BFN44[0, 0, camera].double(), point)
        pixel = plain.intrinsics_BFN33[0, 0, camera].double() @ in_camera[:3] / in_camera[2]
        column, row, _ = (
            (plain.image_affine_BFN33[0, 0, camera].double() @ pixel / 16).round().long().tolist()
        )
        assert changed_BNhw[0, camera].nonzero().tolist() == [[row, column]]
        assert virtual.depth_BNhw[0, camera, row, column] == pytest.approx(float(in_camera[2]), abs=1e-3)


def test_missing_or_damaged_virtual_points_are_refused(toy, folder: Path) -> None:
    record = int(toy.index.sample_key_record[0, LIDAR_COLUMN])
    clouds = VirtualClouds(folder, toy.index, lambda record: np.zeros((2, 4), np.float32))
    assert clouds.cloud(record).shape == (3, 16)
    cloud_path(folder, toy.index, record).write_bytes(b"half")
    with pytest.raises(DataError, match="the virtual points are missing or damaged"):
        clouds.cloud(record)
    write_json(folder / "virtual.json", {"schema": 1, "index_sha": "another"})
    with pytest.raises(DataError, match="belong to another index"):
        VirtualClouds(folder, toy.index, clouds.cloud)
    (folder / "virtual.json").unlink()
    with pytest.raises(DataError, match="the virtual points were never finished"):
        VirtualClouds(folder, toy.index, clouds.cloud)
