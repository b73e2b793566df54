"""The real key frame as a nuScenes root: boxes, projections and points are those of its record."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import real_frame
import reduced
from frame_root import read_info
from nuscenes.eval.common.data_classes import EvalBoxes
from nuscenes.eval.detection.data_classes import DetectionBox

from dualdistill.config.nuscenes import CAMERAS
from dualdistill.data.geometry import inverse, points_in_box
from dualdistill.data.index import LIDAR_COLUMN, Index
from dualdistill.data.sensor_files import SensorFiles
from dualdistill.plan.plan import DataPaths


@pytest.fixture(scope="module")
def frame(checkout: Path) -> Path:
    shared = Path(os.environ.get("DUALDISTILL_SHARED", checkout.parent / "shared"))
    folder = shared / "data" / "nuscenes_frame"
    if not (folder / "info.json").is_file():
        pytest.skip("no real nuScenes frame: set DUALDISTILL_SHARED to a folder with data/nuscenes_frame")
    return folder


@pytest.fixture(scope="module")
def data(frame: Path, tmp_path_factory: pytest.TempPathFactory) -> DataPaths:
    return real_frame.prepare(frame, tmp_path_factory.mktemp("frame"))


@pytest.fixture(scope="module")
def index(data: DataPaths) -> Index:
    return Index.load(data.index)


def test_boxes_and_cameras_are_those_of_the_record(frame: Path, index: Index) -> None:
    info, classes = read_info(frame)
    boxes = [box["bbox_3d"] for box in info["instances"] if box["bbox_label_3d"] in classes]
    gaps = np.abs(index.boxes(0)[:, :7] - np.array(boxes)).max(axis=0)
    assert len(boxes) == 68
    assert gaps[:6].max() < 1e-5
    assert gaps[6] < 1e-3  # the record turns a box about the LiDAR's axis, the tables about the world's
    keys, pose = index.sample_key_record[0], index.record_sensor_to_global
    for column, camera in enumerate(CAMERAS, start=1):
        lidar_to_camera = inverse(pose[keys[column]]) @ pose[keys[LIDAR_COLUMN]]
        assert np.abs(lidar_to_camera - np.array(info["images"][camera]["lidar2cam"])).max() < 1e-6
        assert np.array_equal(
            index.intrinsics(int(keys[column])), np.array(info["images"][camera]["cam2img"])
        )


def test_boxes_hold_their_annotated_points(index: Index, data: DataPaths) -> None:
    cloud = SensorFiles(index, data.root).cloud(int(index.sample_key_record[0, LIDAR_COLUMN]))
    points_P3 = cloud[:, :3].astype(np.float64)
    counts = np.array([points_in_box(box, points_P3).sum() for box in index.boxes(0)])
    assert (counts == index.annotation_lidar_points).sum() >= 60
    assert np.abs(counts - index.annotation_lidar_points).max() <= 16


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_small_network_is_fitted_stopped_resumed_and_matched(
    checkout: Path, frame: Path, tmp_path: Path
) -> None:
    config = reduced.write_config(checkout, tmp_path / "config", tmp_path, tmp_path)
    words = ["centerpoint", "--frame", str(frame), "--work", str(tmp_path / "work"), "--config", str(config)]
    first = real_frame.main([*words, "--steps", "1"])
    assert first["steps"] == 1
    last = real_frame.main([*words, "--steps", "2"])
    assert last["steps"] == 2
    assert last["losses"][0]["heatmap"] < first["losses"][0]["heatmap"]
    for found in (last["as trained"], last["with the frame's own statistics in BatchNorm"]):
        hit, total = map(int, found["found"].split(" of "))
        assert hit + sum(found["missed"].values()) == total == 33
    assert json.loads((tmp_path / "work" / "centerpoint" / "report.json").read_text()) == last


def test_matched_boxes_are_those_of_the_official_matching() -> None:
    def box(x: float, score: float = -1.0, name: str = "car") -> DetectionBox:
        return DetectionBox(
            "s", (x, 0.0, 0.0), (1, 1, 1), (1, 0, 0, 0), detection_name=name, detection_score=score
        )

    def boxes(*members: DetectionBox) -> EvalBoxes:
        collected = EvalBoxes()
        collected.add_boxes("s", list(members))
        return collected

    near, far, missed = box(0.0), box(10.0), box(20.0)
    # the best prediction takes the nearer of two; a second one for the same box, and one 0.5 m off, take none
    predicted = boxes(box(0.1, 0.9), box(0.2, 0.8), box(10.4, 0.7), box(20.5, 0.6), box(20.0, 0.5, "bus"))
    found = real_frame.matches(boxes(near, far, missed), predicted, "car")
    assert {id(member) for member in found} == {id(near), id(far)}
