"""The index against the devkit on a tiny world, and files that it refuses."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from nuscenes.eval.common.utils import quaternion_yaw
from nuscenes.eval.detection.utils import category_to_detection_name

from dualdistill.config.nuscenes import CHANNELS, CLASSES, LIDAR
from dualdistill.config.run_spec import GridSpec, InputSpec, RunSpec
from dualdistill.data import index_build, index_check
from dualdistill.data.dataset import FrameDataset, collate
from dualdistill.data.geometry import inverse, move_points, points_in_box
from dualdistill.data.index import Index
from dualdistill.data.index_build import build, read
from dualdistill.data.sensor_files import SensorFiles
from dualdistill.data.tables import SampleRow, Tables
from dualdistill.errors import DataError

SPLITS = {"train": "world_train", "dev": "world_dev", "val": "world_val"}


def devkit_boxes(world, sample: int, channel: str) -> list:
    """The devkit's detection boxes of a sample in one sensor's frame."""
    token = world.nusc.get("sample", world.index.token(sample))["data"][channel]
    _, boxes, _ = world.nusc.get_sample_data(token)
    return [box for box in boxes if category_to_detection_name(box.name) is not None]


def test_boxes_equal_those_of_the_devkit(world) -> None:
    compared = 0
    for sample in range(len(world.index.sample_token)):
        ours = world.index.boxes(sample)
        theirs = devkit_boxes(world, sample, LIDAR)
        labels = world.index.annotation_label[world.index.annotations(sample)]
        lidar_from_global = np.linalg.inv(
            world.index.record_sensor_to_global[world.index.sample_key_record[sample, 0]]
        )
        for box_9, label, box in zip(ours, labels, theirs, strict=True):
            assert CLASSES[label] == category_to_detection_name(box.name)
            assert np.abs(box_9[:3] - box.center).max() < 1e-6
            assert np.abs(box_9[[4, 3, 5]] - box.wlh).max() < 1e-9
            turn = box_9[6] - quaternion_yaw(box.orientation)
            assert abs(np.sin(turn / 2)) < 1e-6
            speed = lidar_from_global[:3, :3] @ (world.nusc.box_velocity(box.token) * (1, 1, 0))
            assert np.allclose(box_9[7:], speed[:2], equal_nan=True, atol=1e-9)
            compared += 1
    assert compared > 50


def test_boxes_in_camera_frames_equal_those_of_the_devkit(world) -> None:
    index = world.index
    for sample in (0, 4):
        lidar_to_global = index.record_sensor_to_global[index.sample_key_record[sample, 0]]
        for column, channel in enumerate(CHANNELS[1:], start=1):
            camera = inverse(index.record_sensor_to_global[index.sample_key_record[sample, column]])
            ours = move_points(camera @ lidar_to_global, index.boxes(sample)[:, :3])
            # the devkit keeps only boxes that the camera can see
            for box in devkit_boxes(world, sample, channel):
                assert np.abs(ours - box.center).max(axis=1).min() < 1e-6


def test_record_chains_equal_those_of_the_devkit(world) -> None:
    index, by_name = world.index, {row["filename"]: row for row in world.nusc.sample_data}
    starts = 0
    for record in range(len(index.record_path)):
        row = by_name[index.path(record)]
        assert row["channel"] == index.channel(record)
        assert row["timestamp"] == index.record_timestamp_us[record]
        if row["prev"]:
            before = world.nusc.get("sample_data", row["prev"])["filename"]
            assert before == index.path(int(index.record_prev[record])) == index.path(record - 1)
        else:
            assert index.record_prev[record] == -1
            starts += 1
        if index.channel(record) != LIDAR:
            calibration = world.nusc.get("calibrated_sensor", row["calibrated_sensor_token"])
            assert (index.intrinsics(record) == calibration["camera_intrinsic"]).all()
    assert starts == 3 * 7


def test_key_records_equal_those_of_the_devkit(world) -> None:
    for sample in range(len(world.index.sample_token)):
        row = world.nusc.get("sample", world.index.token(sample))
        for column, channel in enumerate(CHANNELS):
            record = int(world.index.sample_key_record[sample, column])
            assert world.nusc.get("sample_data", row["data"][channel])["filename"] == world.index.path(record)
            assert world.index.describe(record) == f"{channel} of sample {row['token']}"


def test_points_per_box_equal_the_annotated_counts(world) -> None:
    files, counted, annotated = SensorFiles(world.index, world.root), [], []
    for sample in range(len(world.index.sample_token)):
        points = files.cloud(int(world.index.sample_key_record[sample, 0]))[:, :3].astype(np.float64)
        counted += [int(points_in_box(box, points).sum()) for box in world.index.boxes(sample)]
        annotated += world.index.annotation_lidar_points[world.index.annotations(sample)].tolist()
    assert sum(annotated) > 500
    # a point on a face may round either way
    assert np.corrcoef(counted, annotated)[0, 1] > 0.99


def test_splits_are_found_by_role_and_by_name(world) -> None:
    for role, name in SPLITS.items():
        assert (world.index.samples(role) == world.index.samples(name)).all()
        assert len(world.index.samples(role)) == 3
    assert sum(world.index.counts("train").values()) > 10


def test_scenes_outside_the_named_splits_are_left_out(world, tmp_path: Path) -> None:
    build(world.root, "v1.0-world", {"val": "world_val"}, tmp_path / "index.npz")
    index = Index.load(tmp_path / "index.npz")
    assert len(index.sample_token) == 3
    assert index.annotation_offset[-1] == len(index.annotation_label)
    assert set(index.sample_token) == set(world.index.sample_token[world.index.samples("val")])


def test_the_same_root_gives_the_same_bytes(world, tmp_path: Path) -> None:
    build(world.root, "v1.0-world", SPLITS, tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == world.index_path.read_bytes()


def test_saving_and_loading_keeps_every_column(toy, tmp_path: Path) -> None:
    toy.index.save(tmp_path / "index.npz")
    again = Index.load(tmp_path / "index.npz")
    for item in fields(Index):
        saved, loaded = getattr(toy.index, item.name), getattr(again, item.name)
        assert saved.dtype == loaded.dtype
        assert np.array_equal(saved, loaded, equal_nan=saved.dtype.kind == "f")
    assert again.sha == toy.index.sha


def test_the_hash_depends_on_every_column(toy) -> None:
    shas = {toy.index.sha}
    for item in fields(Index):
        shas.add(replace(toy.index, **{item.name: getattr(toy.index, item.name)[::-1]}).sha)
    assert len(shas) > 20  # a column of one value, or of one row, reads the same backwards
    labels = toy.index.annotation_label.astype(np.int64)
    assert replace(toy.index, annotation_label=labels).sha != toy.index.sha


def test_batches_are_read_from_a_tiny_world(world, student_spec: RunSpec) -> None:
    small = InputSpec(image_height=32, image_width=48, sweeps=2, scene_start="next")
    spec = replace(student_spec, input=small, grid=GridSpec(25.6, 0.8))
    data = FrameDataset(
        world.index, world.root, None, "world_train", spec, train=True, images=True, points=True
    )
    batch = collate([data[(position, 0)] for position in range(3)])
    assert batch.images_BFNCHW.shape == (3, 2, 6, 3, 32, 48)
    assert batch.history_s_B.abs().min() >= 0.49  # key frames are half a second apart
    assert sum(map(len, batch.boxes_K9)) > 10
    assert (batch.depth_BNhw > 0).float().mean() > 0.3


@pytest.mark.parametrize(
    ("column", "change", "word"),
    [
        ("annotation_wxyz", lambda wxyz: wxyz * (1, 1, 1, -1), "yaw"),
        ("annotation_size_wlh", lambda size: size[:, (1, 0, 2)], "size"),
        ("annotation_centre", lambda centre: centre + 0.1, "centre"),
        ("annotation_velocity", lambda velocity: -velocity, "velocity"),
    ],
)
@pytest.mark.parametrize("large", [False, True])
def test_the_self_check_detects_a_changed_convention(
    world, column: str, change: Callable[[np.ndarray], np.ndarray], word: str, large: bool
) -> None:
    devkit_boxes = boxes_of_tables(world.root) if large else index_check.from_devkit(world.nusc)
    index_check.compare(world.index, devkit_boxes)
    wrong = replace(world.index, **{column: change(getattr(world.index, column))})
    with pytest.raises(DataError, match=rf"{word} of annotation \w+ is .* away from the devkit's"):
        index_check.compare(wrong, devkit_boxes)


def boxes_of_tables(root: Path) -> index_check.DevkitBoxes:
    tables = Tables(root, "v1.0-world")
    _, boxes = read(tables, root, SPLITS, tables.rows("sample", SampleRow))
    return boxes


def test_boxes_for_the_check_of_a_large_root_equal_those_of_the_devkit(world) -> None:
    ours, theirs = boxes_of_tables(world.root), index_check.from_devkit(world.nusc)
    for sample in range(len(world.index.sample_token)):
        for one, other in zip(ours(world.index, sample), theirs(world.index, sample), strict=True):
            assert one.token == other.token
            assert np.allclose(one.center, other.center, rtol=0, atol=1e-9)
            assert np.allclose(one.velocity, other.velocity, rtol=0, atol=1e-9, equal_nan=True)
            assert (one.orientation.inverse * other.orientation).degrees == pytest.approx(0, abs=1e-9)


def test_a_large_root_is_indexed_without_the_devkits_tables(world, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(index_build, "DEVKIT_SAMPLES", 0)
    monkeypatch.delattr(index_build, "NuScenes")
    build(world.root, "v1.0-world", SPLITS, tmp_path / "index.npz")
    assert (tmp_path / "index.npz").read_bytes() == world.index_path.read_bytes()


def test_building_the_index_forgets_the_ground_truth_beside_it(world, tmp_path: Path) -> None:
    (tmp_path / "ground_truth_world_val.npz").write_bytes(b"of other tables")
    build(world.root, "v1.0-world", SPLITS, tmp_path / "index.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["index.npz"]


def test_an_index_of_another_schema_is_refused(toy, tmp_path: Path) -> None:
    toy.index.save(tmp_path / "index.npz")
    columns = dict(np.load(tmp_path / "index.npz"))
    np.savez(tmp_path / "index.npz", **{**columns, "schema": np.array(99)})
    with pytest.raises(DataError, match="schema 99 and this suite reads 1"):
        Index.load(tmp_path / "index.npz")


def test_an_index_with_a_changed_value_is_refused(toy, tmp_path: Path) -> None:
    toy.index.save(tmp_path / "index.npz")
    columns = dict(np.load(tmp_path / "index.npz"))
    columns["annotation_wxyz"][3, 3] *= -1
    np.savez(tmp_path / "index.npz", **columns)
    with pytest.raises(DataError, match="its own checksum"):
        Index.load(tmp_path / "index.npz")


def test_a_truncated_an_empty_and_a_missing_index_are_refused(toy, tmp_path: Path) -> None:
    path = tmp_path / "index.npz"
    with pytest.raises(DataError, match="does not exist"):
        Index.load(path)
    toy.index.save(path)
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"not an index"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"index\.npz: the index cannot be read"):
            Index.load(path)


def test_a_pickle_is_refused_without_being_executed(tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(canary),)

    path = tmp_path / "infos.pkl"
    path.write_bytes(pickle.dumps({"infos": [Malicious()]}))
    with pytest.raises(DataError, match="cannot be read"):
        Index.load(path)
    np.savez(tmp_path / "infos.npz", schema=np.array([Malicious()], dtype=object))
    with pytest.raises(DataError, match="cannot be read"):
        Index.load(tmp_path / "infos.npz")
    assert not canary.exists()


@pytest.mark.parametrize(
    ("version", "splits", "words"),
    [
        ("v1.0-trainval", SPLITS, "no tables v1.0-trainval"),
        ("v1.0-world", {"val": "world_vall"}, "no split named world_vall"),
        ("v1.0-world", {"val": "mini_val"}, "lack 2 of them"),
    ],
)
def test_a_root_with_the_wrong_version_or_split_is_refused(
    world, tmp_path: Path, version: str, splits: dict[str, str], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        build(world.root, version, splits, tmp_path / "index.npz")
    assert not (tmp_path / "index.npz").exists()


def test_missing_tables_and_missing_clouds_are_counted_and_named(world, tmp_path: Path) -> None:
    root = shutil.copytree(world.root, tmp_path / "root")
    gone = sorted(root.glob("s*/LIDAR_TOP/*"))[:2]
    for path in gone:
        path.unlink()
    with pytest.raises(DataError, match="2 LiDAR files of the tables are missing"):
        build(root, "v1.0-world", SPLITS, tmp_path / "index.npz")
    (root / "v1.0-world" / "ego_pose.json").unlink()
    with pytest.raises(DataError, match=r"the table ego_pose\.json is missing"):
        build(root, "v1.0-world", SPLITS, tmp_path / "index.npz")
