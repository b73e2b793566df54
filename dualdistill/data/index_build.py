"""Build the index: read the tables of a nuScenes root through the official devkit.

Every pass is linear in its table, so 34,149 samples and 2.6 million records take minutes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nuscenes import NuScenes
from nuscenes.eval.common.utils import quaternion_yaw
from nuscenes.eval.detection.utils import category_to_detection_name
from nuscenes.utils.splits import get_scenes_of_split

from dualdistill.config.nuscenes import CHANNELS, CLASSES, LIDAR
from dualdistill.data.geometry import rigid
from dualdistill.data.index import LIDAR_COLUMN, Index
from dualdistill.errors import DataError
from dualdistill.store.files import read_json

Row = dict[str, Any]


def build(root: Path, version: str, splits: dict[str, str], out: Path) -> None:
    """Read a root, compare a few boxes with the devkit's, and write the index.

    `splits` maps roles (train, dev, val, pretrain) to the devkit's split names; scenes in none of them are
    left out.
    """
    nusc = open_root(root, version)
    columns: dict[str, Any] = read(nusc, root, splits)
    index = Index(**columns)
    self_check(index, nusc)
    index.save(out)


def open_root(root: Path, version: str) -> NuScenes:
    """Open a root with the devkit; its assertions become errors with a hint."""
    folder = root / version
    if not folder.is_dir():
        raise DataError(
            f"there are no tables {version} here", where=str(root), hint="is this the nuScenes root?"
        )
    try:
        return NuScenes(version=version, dataroot=str(root), verbose=False)
    except (AssertionError, KeyError, ValueError, OSError) as error:
        what = f"the devkit cannot read the tables: {error or type(error).__name__}"
        raise DataError(
            what, where=str(folder), hint="the set of thirteen tables must be complete"
        ) from error


def read(nusc: NuScenes, root: Path, splits: dict[str, str]) -> dict[str, Any]:
    """All columns of the index."""
    scenes_of_role = {role: _scenes_of(nusc, name) for role, name in splits.items()}
    names = set().union(*scenes_of_role.values())
    scenes = [row for row in nusc.scene if row["name"] in names]
    scene_rank = {row["token"]: rank for rank, row in enumerate(scenes)}
    samples = [row for row in nusc.sample if row["scene_token"] in scene_rank]
    samples.sort(key=lambda row: (scene_rank[row["scene_token"]], row["timestamp"]))
    in_split = [[row["name"] in scenes_of_role[role] for role in splits] for row in scenes]
    sample_scene = np.array([scene_rank[row["scene_token"]] for row in samples], dtype=np.int32)
    records, place = _records(nusc, scene_rank)
    return {
        "version": _strings([nusc.version]),
        "split_role": _strings(list(splits)),
        "split_name": _strings(list(splits.values())),
        "scene_name": _strings([row["name"] for row in scenes]),
        **_record_columns(nusc, root, records, place, scene_rank),
        "sample_token": _strings([row["token"] for row in samples]),
        "sample_scene": sample_scene,
        "sample_timestamp_us": np.array([row["timestamp"] for row in samples], dtype=np.int64),
        "sample_key_record": np.array([_key_records(row, place) for row in samples], dtype=np.int64),
        "sample_in_split": np.array(in_split, dtype=bool)[sample_scene],
        **_annotation_columns(nusc, samples),
    }


def _scenes_of(nusc: NuScenes, split: str) -> set[str]:
    where = f"{nusc.dataroot}/{nusc.version}"
    try:
        names = set(get_scenes_of_split(split, nusc))
    except ValueError as error:
        raise DataError(
            f"no split named {split}", where=where, hint="a root names splits beyond nuScenes' in splits.json"
        ) from error
    if (listed := _listed(Path(where))) and split in listed:
        names &= set(listed[split])
    absent = names - {row["name"] for row in nusc.scene}
    if absent or not names:
        what = f"split {split} has {len(names)} scenes and the tables lack {len(absent)} of them"
        raise DataError(what, where=where, hint="does the split belong to this version?")
    return names


def _listed(folder: Path) -> dict[str, list[str]]:
    """Scenes by split in splits.json, where a root with part of nuScenes lists those that it has."""
    file = folder / "splits.json"
    return read_json(file) if file.is_file() else {}


def _records(nusc: NuScenes, scene_rank: dict[str, int]) -> tuple[list[Row], dict[str, int]]:
    """Sensor records of the chosen scenes in chain order, and the row of each token."""
    channel_rank = {channel: rank for rank, channel in enumerate(CHANNELS)}
    chosen = []
    for row in nusc.sample_data:
        if row["channel"] in channel_rank:
            scene = scene_rank.get(nusc.get("sample", row["sample_token"])["scene_token"])
            if scene is not None:
                chosen.append((channel_rank[row["channel"]], scene, row["timestamp"], row))
    chosen.sort(key=lambda entry: entry[:3])
    records = [entry[3] for entry in chosen]
    return records, {row["token"]: place for place, row in enumerate(records)}


def _record_columns(
    nusc: NuScenes, root: Path, records: list[Row], place: dict[str, int], scene_rank: dict[str, int]
) -> dict[str, Any]:
    calibrations = nusc.calibrated_sensor
    calibration_rank = {row["token"]: rank for rank, row in enumerate(calibrations)}
    sensor_to_ego = _poses(calibrations)
    calibration = np.array(
        [calibration_rank[row["calibrated_sensor_token"]] for row in records], dtype=np.int32
    )
    ego_to_global = _poses([nusc.get("ego_pose", row["ego_pose_token"]) for row in records])
    scene_of_sample = {row["token"]: scene_rank.get(row["scene_token"], -1) for row in nusc.sample}
    prev = np.array([place.get(row["prev"], -2) if row["prev"] else -1 for row in records], dtype=np.int64)
    unchained = np.flatnonzero((prev != -1) & (prev != np.arange(len(records)) - 1))
    if len(unchained):
        row = records[unchained[0]]
        raise DataError(
            "a record's prev is not the record before it in time",
            where=row["filename"],
            hint="sample_data.prev",
        )
    return {
        "calibration_intrinsics": np.array(
            [row["camera_intrinsic"] or np.zeros((3, 3)) for row in calibrations], dtype=np.float64
        ),
        "record_path": _strings([row["filename"] for row in records]),
        "record_channel": np.array([CHANNELS.index(row["channel"]) for row in records], dtype=np.int8),
        "record_scene": np.array([scene_of_sample[row["sample_token"]] for row in records], dtype=np.int32),
        "record_timestamp_us": np.array([row["timestamp"] for row in records], dtype=np.int64),
        "record_sensor_to_global": ego_to_global @ sensor_to_ego[calibration],
        "record_calibration": calibration,
        "record_width": np.array([row["width"] or 0 for row in records], dtype=np.int32),
        "record_height": np.array([row["height"] or 0 for row in records], dtype=np.int32),
        "record_bytes": _lidar_bytes(root, records),
        "record_prev": prev,
    }


def _poses(rows: list[Row]) -> np.ndarray:
    return rigid(
        np.array([row["rotation"] for row in rows], dtype=np.float64),
        np.array([row["translation"] for row in rows], dtype=np.float64),
    )


def _lidar_bytes(root: Path, records: list[Row]) -> np.ndarray:
    """File sizes of the clouds, to notice later damage."""
    sizes = np.zeros(len(records), dtype=np.int64)
    missing = []
    for place, row in enumerate(records):
        if row["channel"] == LIDAR:
            try:
                sizes[place] = (root / row["filename"]).stat().st_size
            except FileNotFoundError:
                missing.append(row["filename"])
    if missing:
        what = f"{len(missing)} LiDAR files of the tables are missing"
        raise DataError(what, where=str(root / missing[0]), hint="was every archive unpacked?")
    return sizes


def _key_records(sample: Row, place: dict[str, int]) -> list[int]:
    absent = [channel for channel in CHANNELS if channel not in sample["data"]]
    if absent:
        raise DataError(f"sample {sample['token']} has no {absent[0]} key frame", where="sample_data.json")
    return [place[sample["data"][channel]] for channel in CHANNELS]


def _annotation_columns(nusc: NuScenes, samples: list[Row]) -> dict[str, Any]:
    kept: list[Row] = []
    labels: list[int] = []
    offset = [0]
    for sample in samples:
        for token in sample["anns"]:
            row = nusc.get("sample_annotation", token)
            name = category_to_detection_name(row["category_name"])
            if name is not None:
                kept.append(row)
                labels.append(CLASSES.index(name))
        offset.append(len(kept))
    instances = {
        token: rank for rank, token in enumerate(dict.fromkeys(row["instance_token"] for row in kept))
    }
    level = {row["token"]: rank + 1 for rank, row in enumerate(nusc.visibility)}
    count = len(kept)
    return {
        "annotation_offset": np.array(offset, dtype=np.int64),
        "annotation_label": np.array(labels, dtype=np.int8),
        "annotation_centre": np.array([row["translation"] for row in kept], dtype=np.float64).reshape(
            count, 3
        ),
        "annotation_size_wlh": np.array([row["size"] for row in kept], dtype=np.float64).reshape(count, 3),
        "annotation_wxyz": np.array([row["rotation"] for row in kept], dtype=np.float64).reshape(count, 4),
        "annotation_velocity": np.array([nusc.box_velocity(row["token"]) for row in kept]).reshape(count, 3),
        "annotation_lidar_points": np.array([row["num_lidar_pts"] for row in kept], dtype=np.int32),
        "annotation_radar_points": np.array([row["num_radar_pts"] for row in kept], dtype=np.int32),
        "annotation_instance": np.array([instances[row["instance_token"]] for row in kept], dtype=np.int32),
        "annotation_visibility": np.array(
            [level.get(row.get("visibility_token"), 0) for row in kept], dtype=np.int8
        ),
        "instance_token": _strings(list(instances)),
    }


def _strings(values: list[str]) -> np.ndarray:
    # bytes take a quarter of numpy's unicode; tokens, paths and names of nuScenes are ASCII
    return np.array([value.encode("ascii") for value in values], dtype=np.bytes_)


def self_check(index: Index, nusc: NuScenes, count: int = 5) -> None:
    """Compare the boxes of a few samples with the devkit's, so that no swapped convention is trained on.

    The devkit transforms boxes step by step (global, ego, sensor) with quaternions: an independent path to
    the same numbers.
    """
    spread = np.linspace(0, len(index.sample_token) - 1, min(count, len(index.sample_token))).astype(int)
    for sample in spread:
        token = index.token(sample)
        _, devkit_boxes, _ = nusc.get_sample_data(nusc.get("sample", token)["data"][LIDAR])
        devkit_boxes = [box for box in devkit_boxes if category_to_detection_name(box.name) is not None]
        boxes_K9 = index.boxes(sample)
        if len(boxes_K9) != len(devkit_boxes):
            raise DataError(
                f"sample {token} has {len(boxes_K9)} boxes in the index and {len(devkit_boxes)} in the devkit"
            )
        lidar_from_global = np.linalg.inv(
            index.record_sensor_to_global[index.sample_key_record[sample, LIDAR_COLUMN]]
        )
        for box_9, box in zip(boxes_K9, devkit_boxes, strict=True):
            turn = box_9[6] - quaternion_yaw(box.orientation)
            speed = lidar_from_global[:3, :3] @ (nusc.box_velocity(box.token) * (1, 1, 0))
            gaps = {
                "centre": np.abs(box_9[:3] - box.center).max(),
                "size": np.abs(box_9[[4, 3, 5]] - box.wlh).max(),
                "yaw": abs(np.arctan2(np.sin(turn), np.cos(turn))),
                "velocity": np.nan_to_num(np.abs(box_9[7:9] - speed[:2])).max(),
            }
            for name, gap in gaps.items():
                if gap > 1e-3:
                    what = f"{name} of annotation {box.token} is {gap:.3f} away from the devkit's"
                    raise DataError(what, where=f"sample {token}", hint="build the index again")
