"""A hand-made drive without a world (an index from arrays, and its files), and one real frame.

The car turns left by 100 degrees per second far from the global origin and the sensors run at different
times: a missing pose, a swapped order or a float32 position changes results.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dualdistill.config.nuscenes import CAMERAS, CHANNELS, CLASSES, LIDAR
from dualdistill.config.run_spec import (
    BEVDepthSpec,
    DataSpec,
    GridSpec,
    InputSpec,
    RunSpec,
    ScheduleSpec,
    TeacherSpec,
)
from dualdistill.config.world import WorldSpec
from dualdistill.data.geometry import rigid
from dualdistill.data.index import Index
from dualdistill.data.index_build import build, open_root
from dualdistill.world.nuscenes.build import build_world

HEIGHT, WIDTH = 225, 400
INTRINSICS = np.array([[210.0, 0, 203.0], [0, 210.0, 118.0], [0, 0, 1]])
CAMERA_YAW_DEG = {
    "CAM_FRONT": 0,
    "CAM_FRONT_LEFT": 55,
    "CAM_BACK_LEFT": 110,
    "CAM_BACK": 180,
    "CAM_BACK_RIGHT": -110,
    "CAM_FRONT_RIGHT": -55,
}
AXES_OF_CAMERA = np.array(
    [[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]
)  # columns: camera x, y, z in the car's x forward, y left


def about_z(yaw_rad: float | np.ndarray) -> np.ndarray:
    """Quaternions w, x, y, z."""
    half, zero = np.asarray(yaw_rad) / 2, np.zeros_like(yaw_rad)
    return np.stack([np.cos(half), zero, zero, np.sin(half)], axis=-1)


def ego_to_global(time_s: float) -> np.ndarray:
    """Where the car is at a time."""
    yaw = np.radians(30 + 100 * time_s)
    return rigid(about_z(yaw), (1411.3 + 8 * time_s, 912.7 - 5 * time_s, 0.4))


def sensor_to_ego(channel: str) -> np.ndarray:
    """Where a sensor sits on the car."""
    pose = np.eye(4)
    if channel == LIDAR:  # x right, y forward: a quarter turn to the right of the car's x forward, y left
        pose = rigid(about_z(-np.pi / 2), (0.94, 0.0, 1.84))
    else:
        yaw = np.radians(CAMERA_YAW_DEG[channel])
        pose[:3, :3] = rigid(about_z(yaw), (0, 0, 0))[:3, :3] @ AXES_OF_CAMERA
        pose[:3, 3] = (1.2 * np.cos(yaw), 0.7 * np.sin(yaw), 1.5)
    return pose


def toy_index(
    key_frames: int = 5, lidar_per_key: int = 4, cameras_per_key: int = 3, points: int = 400
) -> Index:
    """One scene at 2 Hz. Lidar at 8 Hz, cameras at 6 Hz and each up to 40 ms early."""
    start_us = 1_600_000_000_000_000
    rows: list[tuple[str, float]] = []
    keys = np.zeros((key_frames, len(CHANNELS)), dtype=np.int64)
    prev: list[int] = []
    for column, channel in enumerate(CHANNELS):
        each = lidar_per_key if column == 0 else cameras_per_key
        for number in range((key_frames - 1) * each + 1):
            if number % each == 0:
                keys[number // each, column] = len(rows)
            prev.append(len(rows) - 1 if number else -1)
            rows.append((channel, 0.5 * number / each - 0.04 * column / len(CAMERAS)))
    camera = np.array([channel != LIDAR for channel, _ in rows])
    generator = np.random.default_rng(3)
    boxes = key_frames * len(CLASSES)
    centre = generator.uniform(-20, 20, (boxes, 3)) * (1, 1, 0.05)
    for frame in range(key_frames):
        lidar = ego_to_global(0.5 * frame) @ sensor_to_ego(LIDAR)
        rows_of_frame = slice(frame * len(CLASSES), (frame + 1) * len(CLASSES))
        centre[rows_of_frame] = centre[rows_of_frame] @ lidar[:3, :3].T + lidar[:3, 3]
    return Index(
        version=np.array([b"v1.0-toy"]),
        split_role=np.array([b"train", b"val"]),
        split_name=np.array([b"toy_train", b"toy_val"]),
        scene_name=np.array([b"toy-0000"]),
        calibration_intrinsics=np.stack([np.zeros((3, 3)), INTRINSICS]),
        record_path=np.array([f"samples/{channel}/{n:03d}".encode() for n, (channel, _) in enumerate(rows)]),
        record_channel=np.array([CHANNELS.index(channel) for channel, _ in rows], dtype=np.int8),
        record_scene=np.zeros(len(rows), dtype=np.int32),
        record_timestamp_us=np.array([start_us + round(1e6 * time) for _, time in rows], dtype=np.int64),
        record_sensor_to_global=np.stack([ego_to_global(time) @ sensor_to_ego(name) for name, time in rows]),
        record_calibration=camera.astype(np.int32),
        record_width=np.where(camera, WIDTH, 0).astype(np.int32),
        record_height=np.where(camera, HEIGHT, 0).astype(np.int32),
        record_bytes=np.where(camera, 0, 20 * points).astype(np.int64),
        record_prev=np.array(prev, dtype=np.int64),
        sample_token=np.array([f"token{number}".encode() for number in range(key_frames)]),
        sample_scene=np.zeros(key_frames, dtype=np.int32),
        sample_timestamp_us=start_us + 500_000 * np.arange(key_frames),
        sample_key_record=keys,
        sample_in_split=np.stack(
            [np.arange(key_frames) < key_frames - 1, np.arange(key_frames) >= key_frames - 1], axis=1
        ),
        annotation_offset=np.arange(key_frames + 1) * len(CLASSES),
        annotation_label=np.tile(np.arange(len(CLASSES), dtype=np.int8), key_frames),
        annotation_centre=centre,
        annotation_size_wlh=generator.uniform(0.5, 6, (boxes, 3)),
        annotation_wxyz=about_z(generator.uniform(-3, 3, boxes)),
        annotation_velocity=generator.uniform(-5, 5, (boxes, 3)) * (1, 1, 0),
        annotation_lidar_points=np.full(boxes, 7, dtype=np.int32),
        annotation_radar_points=np.zeros(boxes, dtype=np.int32),
        annotation_instance=np.tile(np.arange(len(CLASSES), dtype=np.int32), key_frames),
        annotation_visibility=np.full(boxes, 4, dtype=np.int8),
        instance_token=np.array([f"thing{number}".encode() for number in range(len(CLASSES))]),
    )


def write_files(index: Index, root: Path) -> None:
    """A smooth picture per image and a cloud around the sensor, different for every record."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for record, name in enumerate(index.record_path):
        path = root / name.decode()
        path.parent.mkdir(parents=True, exist_ok=True)
        generator = np.random.default_rng(record)
        if index.record_channel[record] == 0:
            count = int(index.record_bytes[record]) // 20
            cloud = generator.uniform(-20, 20, (count, 5)) * (1, 1, 0.1, 1, 1) + (0, 0, 0, 20, 20)
            path.write_bytes(cloud.astype("<f4").tobytes())
        else:
            phase = generator.uniform(0, 6)
            waves = [
                127 + 120 * np.sin(columns / 31 + phase),
                127 + 120 * np.cos(rows / 23 + phase),
                rows * 1.1,
            ]
            Image.fromarray(np.stack(waves, axis=-1).astype(np.uint8)).save(path, "JPEG", quality=95)


@dataclass(frozen=True)
class Toy:
    """An index and the folder its files lie in."""

    index: Index
    root: Path


@pytest.fixture(scope="session")
def make_index() -> Callable[..., Index]:
    return toy_index


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """Shared and read-only."""
    index, root = toy_index(), tmp_path_factory.mktemp("toy")
    write_files(index, root)
    return Toy(index, root)


@pytest.fixture
def own_toy(tmp_path: Path) -> Toy:
    """A small toy that the test may damage."""
    index, root = toy_index(key_frames=2, lidar_per_key=2, cameras_per_key=1, points=50), tmp_path / "root"
    write_files(index, root)
    return Toy(index, root)


@dataclass(frozen=True)
class World:
    """A tiny synthetic world, its index and the devkit's tables."""

    root: Path
    index_path: Path
    index: Index
    nusc: Any


WORLD_SPLITS = {"train": "world_train", "dev": "world_dev", "val": "world_val"}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Shared and read-only."""
    folder = tmp_path_factory.mktemp("world")
    size = {"image_height": 36, "image_width": 64, "lidar_azimuths": 180}
    spec = WorldSpec(train_scenes=1, dev_scenes=1, val_scenes=1, frames_per_scene=3, **size)
    build_world(spec, folder, workers=1)
    index_path = folder / "index.npz"
    build(folder, "v1.0-world", WORLD_SPLITS, index_path)
    return World(folder, index_path, Index.load(index_path), open_root(folder, "v1.0-world"))


@pytest.fixture(scope="session")
def student_spec() -> RunSpec:
    return spec("student")


def spec(kind: str, seed: int = 0) -> RunSpec:
    """A run whose images are 64 x 176."""
    return RunSpec(
        kind=kind,
        seed=seed,
        data=DataSpec("world", "v1.0-world", "toy_train", "toy_val", "toy_val"),
        grid=GridSpec(half_extent_m=25.6),
        input=InputSpec(image_height=64, image_width=176, sweeps=3),
        model=BEVDepthSpec() if kind == "student" else TeacherSpec(),
        schedule=ScheduleSpec(),
        threads=1,
        versions={},
    )


@dataclass(frozen=True)
class RealFrame:
    """One real nuScenes key frame and its mmdet3d info; cameras as in CAMERAS."""

    points_P5: np.ndarray
    boxes_K9: np.ndarray
    labels_K: np.ndarray  # index in CLASSES; -1 for another category
    lidar_points_K: np.ndarray
    lidar_to_global_44: np.ndarray
    lidar_to_camera_N44: np.ndarray
    intrinsics_N33: np.ndarray
    images: tuple[Path, ...]
    projected: tuple[
        list[dict], ...
    ]  # per camera: 2D box, camera-frame centre and depth of visible instances


@pytest.fixture(scope="session")
def real_frame(checkout: Path) -> RealFrame:
    shared = Path(os.environ.get("DUALDISTILL_SHARED", checkout.parent / "shared"))
    folder = shared / "data" / "nuscenes_frame"
    if not (folder / "info.json").is_file():
        pytest.skip("no real nuScenes frame: set DUALDISTILL_SHARED to a folder with data/nuscenes_frame")
    info_file = json.loads((folder / "info.json").read_text())
    info = info_file["data_list"][0]
    cloud = folder / info["lidar_points"]["lidar_path"]
    if not cloud.is_file():
        cloud = next(folder.glob("*LIDAR_TOP*.pcd.bin"))
    cameras = [info["images"][name] for name in CAMERAS]
    boxes = [[*row["bbox_3d"], *row["velocity"]] for row in info["instances"]]
    names = {label: name for name, label in info_file["metainfo"]["categories"].items()}  # another order
    labels = [names.get(row["bbox_label_3d"]) for row in info["instances"]]
    return RealFrame(
        points_P5=np.fromfile(cloud, dtype="<f4").reshape(-1, 5),
        boxes_K9=np.array(boxes, dtype=np.float64),
        labels_K=np.array([CLASSES.index(name) if name else -1 for name in labels]),
        lidar_points_K=np.array([row["num_lidar_pts"] for row in info["instances"]]),
        lidar_to_global_44=np.array(info["ego2global"]) @ np.array(info["lidar_points"]["lidar2ego"]),
        lidar_to_camera_N44=np.array([camera["lidar2cam"] for camera in cameras]),
        intrinsics_N33=np.array([camera["cam2img"] for camera in cameras]),
        images=tuple(folder / camera["img_path"] for camera in cameras),
        projected=tuple(info["cam_instances"][name] for name in CAMERAS),
    )
