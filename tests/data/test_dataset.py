"""Samples and batches: consistent geometry of images, points, boxes and the previous frame."""

from __future__ import annotations

import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dualdistill.config.nuscenes import CAMERAS, CLASSES
from dualdistill.config.run_spec import InputSpec, RunSpec
from dualdistill.data.batch import Batch
from dualdistill.data.cache import build
from dualdistill.data.dataset import FrameDataset, collate
from dualdistill.errors import DataError


@pytest.fixture(scope="module")
def cache(toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    build(toy.index, toy.root, folder)
    return folder


@pytest.fixture
def dataset(toy, cache: Path, student_spec: RunSpec):
    def make(
        *, train: bool = True, images: bool = True, points: bool = True, split: str = "train", **changes
    ):
        spec = replace(student_spec, **changes)
        return FrameDataset(
            toy.index, toy.root, cache, split, spec, train=train, images=images, points=points
        )

    return make


def same(a: Batch, b: Batch) -> bool:
    pairs = [(getattr(a, item.name), getattr(b, item.name)) for item in fields(Batch)]
    return all(
        torch.equal(x, y) if isinstance(x, Tensor) else str(x) == str(y) and len(x or ()) == len(y or ())
        for x, y in pairs
    )


def test_a_batch_has_the_documented_shapes(dataset) -> None:
    data = dataset()
    batch = collate([data[(position, 0)] for position in range(3)])
    assert batch.tokens == ("token0", "token1", "token2")
    assert batch.images_BFNCHW.shape == (3, 2, 6, 3, 64, 176)
    assert batch.images_BFNCHW.dtype == torch.uint8
    assert batch.intrinsics_BFN33.shape == batch.image_affine_BFN33.shape == (3, 2, 6, 3, 3)
    assert batch.camera_to_lidar_BFN44.shape == (3, 2, 6, 4, 4)
    assert batch.previous_to_current_B44.shape == batch.bev_affine_B44.shape == (3, 4, 4)
    assert batch.history_s_B.shape == (3,)
    assert batch.depth_BNhw.shape == batch.owner_BNhw.shape == (3, 6, 4, 11)
    assert [points.shape[1] for points in batch.points_PI] == [5, 5, 5]
    assert [points.dtype for points in batch.points_PI] == [torch.float32] * 3
    assert len(batch.points_PI[0]) == 400  # nothing lies behind a scene's first frame
    assert 1150 < len(batch.points_PI[1]) <= 1200  # two sweeps more, less the returns of the car itself
    assert all(
        boxes.shape == (len(labels), 9) for boxes, labels in zip(batch.boxes_K9, batch.labels_K, strict=True)
    )
    assert all(labels.dtype == torch.int64 for labels in batch.labels_K)


def test_only_requested_fields_are_loaded(dataset) -> None:
    lidar_only = collate([dataset(images=False)[(1, 0)]])
    assert lidar_only.images_BFNCHW is None
    assert len(lidar_only.points_PI) == 1
    camera_only = collate([dataset(points=False)[(1, 0)]])
    assert camera_only.points_PI == ()
    assert camera_only.depth_BNhw is not None
    assert torch.equal(lidar_only.bev_affine_B44, camera_only.bev_affine_B44)
    assert torch.equal(lidar_only.boxes_K9[0], camera_only.boxes_K9[0])


def test_testing_a_student_reads_no_lidar_file(own_toy, student_spec: RunSpec) -> None:
    for path in (own_toy.root / "samples" / "LIDAR_TOP").iterdir():
        path.unlink()
    data = FrameDataset(
        own_toy.index, own_toy.root, None, "val", student_spec, train=False, images=True, points=False
    )
    batch = collate([data[0]])
    assert batch.depth_BNhw is None
    assert batch.owner_BNhw is None


def test_a_sample_depends_on_seed_draw_and_position_alone(dataset) -> None:
    batch = collate([dataset().get(2, 5)])
    assert same(batch, collate([dataset().get(2, 5)]))
    assert not same(batch, collate([dataset().get(2, 6)]))
    assert not torch.equal(batch.bev_affine_B44, collate([dataset().get(1, 5)]).bev_affine_B44)
    assert not torch.equal(batch.bev_affine_B44, collate([dataset(seed=1).get(2, 5)]).bev_affine_B44)


STILL = {
    "resize_jitter": (0.0, 0.0),
    "image_flip": False,
    "image_rotate_deg": 0.0,
    "bev_rotate_deg": 0.0,
    "bev_scale": (1.0, 1.0),
    "bev_flip": False,
    "random_sweeps": False,
    "history_train_s": (0.5, 0.5),
}


def test_samples_repeat_without_augmentation(dataset, student_spec: RunSpec) -> None:
    data = dataset(input=replace(student_spec.input, **STILL))
    assert data.repeats
    assert same(collate([data.get(2, 5)]), collate([data.get(2, 6)]))


@pytest.mark.parametrize("key", STILL)
def test_any_augmentation_keeps_samples_from_repeating(dataset, student_spec: RunSpec, key: str) -> None:
    data = dataset(input=replace(InputSpec(), **(STILL | {key: getattr(InputSpec(), key)})))
    assert not data.repeats


def test_testing_is_not_random(dataset) -> None:
    data = dataset(train=False)
    assert same(collate([data.get(3, 0)]), collate([data.get(3, 77)]))
    batch = collate([data.get(3, 0)])
    assert torch.equal(batch.bev_affine_B44[0], torch.eye(4))
    assert batch.history_s_B.item() == pytest.approx(1.5, abs=1e-5)


def test_loader_processes_do_not_change_the_batches(dataset) -> None:
    keys = [[(0, 0), (3, 1)], [(2, 2), (2, 3)]]
    alone = list(DataLoader(dataset(), batch_sampler=keys, collate_fn=collate))
    helped = list(DataLoader(dataset(), batch_sampler=keys, collate_fn=collate, num_workers=1))
    assert all(same(a, b) for a, b in zip(alone, helped, strict=True))


def test_the_cache_and_the_files_give_the_same_sample(toy, dataset, student_spec: RunSpec) -> None:
    direct = FrameDataset(
        toy.index, toy.root, None, "train", student_spec, train=True, images=True, points=True
    )
    assert same(collate([direct[(1, 4)]]), collate([dataset()[(1, 4)]]))


def test_both_frames_of_a_camera_share_its_image_augmentation(dataset) -> None:
    affine = collate([dataset()[(3, 1)]]).image_affine_BFN33[0]
    assert torch.equal(affine[0], affine[1])
    assert len({tuple(matrix.flatten().tolist()) for matrix in affine[0]}) == len(CAMERAS)


def test_all_matrices_map_a_fixed_point_consistently(toy, dataset) -> None:
    """From both frames' cameras a fixed point reaches the same place of the augmented key frame."""
    index, data = toy.index, dataset()
    for draw in range(4):
        batch = collate([data[(3, draw)]])
        lidar = index.record_sensor_to_global[index.sample_key_record[3, 0]]
        point = lidar @ (7.0, 11.0, -0.5, 1)
        expected = batch.bev_affine_B44[0].numpy() @ (7.0, 11.0, -0.5, 1)
        age_us = 1e6 * float(batch.history_s_B[0])
        assert 700_000 < age_us < 1_600_000  # all there is behind this frame
        for camera in range(len(CAMERAS)):
            key = int(index.sample_key_record[3, camera + 1])
            then = index.nearest_in_chain(key, index.record_timestamp_us[key] - age_us)
            for frame, record in ((0, key), (1, then)):
                in_camera = np.linalg.inv(index.record_sensor_to_global[record]) @ point
                position = batch.camera_to_lidar_BFN44[0, frame, camera].numpy() @ in_camera
                if frame:
                    position = batch.previous_to_current_B44[0].numpy() @ position
                assert np.abs(position - expected).max() < 2e-4


@pytest.mark.parametrize("train", [True, False])
def test_a_scene_starts_with_the_same_frame_twice_or_with_a_later_one(
    dataset, student_spec: RunSpec, train: bool
) -> None:
    """As in DistillBEV and DualDistill (prev_only) or as in BEVDet and TiG-BEV."""
    later = replace(student_spec.input, scene_start="next")
    first, second = (
        collate([data[(0, 1)]]) for data in (dataset(train=train), dataset(train=train, input=later))
    )
    assert torch.equal(first.images_BFNCHW[:, 0], first.images_BFNCHW[:, 1])
    assert torch.equal(first.camera_to_lidar_BFN44[:, 0], first.camera_to_lidar_BFN44[:, 1])
    assert torch.allclose(first.previous_to_current_B44[0], torch.eye(4), atol=1e-6)
    assert first.history_s_B.item() == pytest.approx(1 / 12)
    assert torch.equal(first.images_BFNCHW[:, 0], second.images_BFNCHW[:, 0])
    assert not torch.equal(second.images_BFNCHW[:, 0], second.images_BFNCHW[:, 1])
    assert second.history_s_B.item() < -0.5


def test_points_and_boxes_share_the_bev_augmentation(toy, dataset) -> None:
    plain = collate([dataset(train=False)[3]])
    moved = collate([dataset()[(3, 2)]])
    affine = moved.bev_affine_B44[0]
    expected = plain.points_PI[0][:, :3] @ affine[:3, :3].T + affine[:3, 3]
    assert torch.allclose(moved.points_PI[0][:, :3], expected, atol=1e-4)
    assert torch.equal(moved.points_PI[0][:, 3:], plain.points_PI[0][:, 3:])
    boxes = {int(label): box for box, label in zip(plain.boxes_K9[0], plain.labels_K[0], strict=True)}
    for box, label in zip(moved.boxes_K9[0], moved.labels_K[0], strict=True):
        centre = affine[:3, :3] @ boxes[int(label)][:3] + affine[:3, 3]
        assert torch.allclose(box[:3], centre, atol=1e-4)


def test_depth_follows_the_image_but_not_the_bev_scale(dataset, student_spec: RunSpec) -> None:
    shrunk = replace(student_spec.input, bev_scale=(0.5, 0.5))
    plain = collate([dataset()[(2, 0)]])
    scaled = collate([dataset(input=shrunk)[(2, 0)]])
    assert not torch.equal(plain.bev_affine_B44, scaled.bev_affine_B44)
    assert torch.equal(plain.depth_BNhw, scaled.depth_BNhw)
    assert (plain.depth_BNhw > 0).float().mean() > 0.1
    assert plain.depth_BNhw[plain.depth_BNhw > 0].min() >= 1


def test_random_sweeps_are_those_of_the_draw_in_training_alone(dataset, student_spec: RunSpec) -> None:
    """The toy's third sample has eight sweeps behind it, of which three are taken at 8 Hz."""
    nearest = replace(student_spec.input, random_sweeps=False)

    def ages(train: bool, draw: int, **changes) -> set[float]:
        points_PI = dataset(train=train, images=False, **changes).get(2, draw).points_PI
        return {round(age, 3) for age in points_PI[:, -1].tolist()}

    choices = [ages(True, draw) for draw in range(30)]
    assert {frozenset(chosen) for chosen in choices} == {
        frozenset(chosen) for chosen in ({0, 0.125, 0.25}, {0, 0.125, 0.375}, {0, 0.25, 0.375})
    }
    assert choices == [ages(True, draw) for draw in range(30)]
    assert ages(False, 7) == ages(True, 7, input=nearest) == {0, 0.125, 0.25}
    changed, same_sample = dataset().get(2, 7), dataset(input=nearest).get(2, 7)
    assert torch.equal(changed.bev_affine_44, same_sample.bev_affine_44)
    assert torch.equal(changed.cameras.image_affine_FN33, same_sample.cameras.image_affine_FN33)


def test_images_are_imagenet_normalised_rgb(toy, dataset) -> None:
    plain = replace(dataset().spec.input, resize_test=0.0)
    batch = collate([dataset(train=False, input=plain)[1]]).to(torch.device("cpu"))
    image = batch.images_BFNCHW[0, 0, 1]
    assert batch.images_BFNCHW.dtype == torch.float32
    assert batch.to(torch.device("cpu")).images_BFNCHW is batch.images_BFNCHW  # not normalised twice
    pixels = image * torch.tensor([0.229, 0.224, 0.225])[:, None, None] * 255
    pixels += torch.tensor([0.485, 0.456, 0.406])[:, None, None] * 255
    assert pixels.min() > -1
    assert pixels.max() < 256
    # the toy's third channel grows downwards by 1.1 per stored row, that is 2.5 per network row
    assert (pixels[2, 60] - pixels[2, 20]).mean().item() == pytest.approx(40 * 2.5, rel=0.03)


def test_boxes_without_points_or_off_the_grid_are_left_out(toy, cache: Path, student_spec: RunSpec) -> None:
    index = toy.index
    rows = index.annotations(2)
    lidar_points = index.annotation_lidar_points.copy()
    radar_points = index.annotation_radar_points.copy()
    centre = index.annotation_centre.copy()
    velocity = index.annotation_velocity.copy()
    lidar_points[rows.start : rows.start + 2] = 0
    radar_points[rows.start + 1] = 1
    lidar = index.record_sensor_to_global[index.sample_key_record[2, 0]]
    centre[rows.start + 2] = (lidar @ (0, 25.7, 0, 1))[:3]
    centre[rows.start + 3] = (lidar @ (0, 25.5, 0, 1))[:3]
    velocity[rows.start + 4] = np.nan
    changed = replace(
        index,
        annotation_lidar_points=lidar_points,
        annotation_radar_points=radar_points,
        annotation_centre=centre,
        annotation_velocity=velocity,
    )
    data = FrameDataset(
        changed, toy.root, None, "train", student_spec, train=False, images=False, points=False
    )
    batch = collate([data[2]])
    assert batch.labels_K[0].tolist() == [label for label in range(len(CLASSES)) if label not in (0, 2)]
    assert batch.boxes_K9[0][:, 7:].isnan().any(dim=1).tolist() == [
        label == 4 for label in batch.labels_K[0].tolist()
    ]


def test_a_loader_process_reports_the_damaged_file(own_toy, student_spec: RunSpec) -> None:
    path = own_toy.root / own_toy.index.path(int(own_toy.index.sample_key_record[0, 6]))
    path.write_bytes(path.read_bytes()[:3000])
    data = FrameDataset(
        own_toy.index, own_toy.root, None, "train", student_spec, train=True, images=True, points=False
    )
    loader = DataLoader(data, batch_sampler=[[(0, 0)]], collate_fn=collate, num_workers=1)
    with pytest.raises(DataError, match="CAM_BACK_RIGHT of sample token0"):
        list(loader)


def test_a_sample_of_twelve_small_images_takes_milliseconds(dataset) -> None:
    data = dataset()
    data[(3, 0)]
    taken = []
    for draw in range(10):
        start = time.process_time()
        data[(3, draw)]
        taken.append(time.process_time() - start)
    assert sorted(taken)[2] < 0.02  # 7 ms of one core when this was written
