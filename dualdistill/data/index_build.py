"""Build the index: read the tables of a nuScenes root, without the devkit's dictionaries.

Every pass is linear in its table and holds only columns, so 34,149 samples and 2.5 million records take
half a minute of one core and 1.4 GB.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nuscenes import NuScenes

from dualdistill.config.nuscenes import CHANNELS
from dualdistill.data import index_check
from dualdistill.data.annotations import Annotations, read_annotations
from dualdistill.data.geometry import rigid
from dualdistill.data.ground_truth import GroundTruth
from dualdistill.data.index import LIDAR_COLUMN, Index
from dualdistill.data.sensor_records import CalibrationRow, lidar_bytes, previous, read_poses, read_records
from dualdistill.data.tables import NamedRow, SampleRow, Tables, strings
from dualdistill.errors import DataError

DEVKIT_SAMPLES = 2_000  # up to so many samples in a root, the devkit reads it too, in seconds, and must agree


def build(root: Path, version: str, splits: dict[str, str], out: Path) -> None:
    """Read a root, compare a few boxes with the devkit's, and write the index.

    `splits` maps roles (train, dev, val, pretrain) to the devkit's split names; scenes in none of them are
    left out.
    """
    tables = Tables(root, version)
    every_sample = tables.rows("sample", SampleRow)
    columns, devkit_boxes = read(tables, root, splits, every_sample)
    index = Index(**columns)
    if len(every_sample) <= DEVKIT_SAMPLES:
        devkit_boxes = index_check.from_devkit(open_root(root, version))
    index_check.compare(index, devkit_boxes)
    GroundTruth.forget(out)
    index.save(out)


def open_root(root: Path, version: str) -> NuScenes:
    """Open a root with the devkit; its assertions become errors with a hint."""
    folder = Tables(root, version).folder
    try:
        return NuScenes(version=version, dataroot=str(root), verbose=False)
    except (AssertionError, KeyError, ValueError, OSError) as error:
        what = f"the devkit cannot read the tables: {error or type(error).__name__}"
        raise DataError(
            what, where=str(folder), hint="the set of thirteen tables must be complete"
        ) from error


def read(
    tables: Tables, root: Path, splits: dict[str, str], every_sample: Sequence[SampleRow]
) -> tuple[dict[str, Any], index_check.DevkitBoxes]:
    """All columns of the index, and a second way to its boxes that shares no transform with it."""
    every_scene = tables.rows("scene", NamedRow)
    scenes_of_role = {role: _scenes_of(tables, every_scene, name) for role, name in splits.items()}
    names = set().union(*scenes_of_role.values())
    scenes = [row for row in every_scene if row.name in names]
    scene_rank = {row.token: rank for rank, row in enumerate(scenes)}
    chosen = [number for number, row in enumerate(every_sample) if row.scene_token in scene_rank]
    chosen.sort(key=lambda n: (scene_rank[every_sample[n].scene_token], every_sample[n].timestamp))
    samples = [every_sample[number] for number in chosen]
    if not samples:
        raise tables.fault("sample", f"no sample belongs to the splits {', '.join(splits.values())}")
    sample_scene = np.array([scene_rank[row.scene_token] for row in samples], dtype=np.int32)
    in_split = [[row.name in scenes_of_role[role] for role in splits] for row in scenes]
    record_columns, poses = _record_columns(tables, root, samples, sample_scene)
    annotations = read_annotations(tables, every_sample, np.array(chosen, dtype=np.int64))
    annotations = annotations.take(annotations.label >= 0)
    columns = {
        "version": strings([tables.version]),
        "split_role": strings(list(splits)),
        "split_name": strings(list(splits.values())),
        "scene_name": strings([row.name for row in scenes]),
        "sample_token": strings([row.token for row in samples]),
        "sample_scene": sample_scene,
        "sample_timestamp_us": np.array([row.timestamp for row in samples], dtype=np.int64),
        "sample_in_split": np.array(in_split, dtype=bool)[sample_scene],
        **record_columns,
        **_annotation_columns(annotations, len(samples)),
    }
    return columns, index_check.from_tables(annotations, poses)


def _scenes_of(tables: Tables, scenes: list[NamedRow], split: str) -> set[str]:
    names = tables.scenes_of(split)
    if split in (listed := tables.listed()):
        names &= set(listed[split])
    absent = names - {row.name for row in scenes}
    if absent or not names:
        what = f"split {split} has {len(names)} scenes and the tables lack {len(absent)} of them"
        raise DataError(what, where=str(tables.folder), hint="does the split belong to this version?")
    return names


def _record_columns(
    tables: Tables, root: Path, samples: list[SampleRow], sample_scene: np.ndarray
) -> tuple[dict[str, Any], index_check.LidarPoses]:
    """Columns of calibrations and records, and the poses of the LiDAR key frames before they are composed."""
    calibrations = tables.rows("calibrated_sensor", CalibrationRow)
    sample_rank = {row.token: rank for rank, row in enumerate(samples)}
    records, key_record = read_records(tables, calibrations, sample_rank, sample_scene)
    if (key_record < 0).any():
        sample, channel = np.argwhere(key_record < 0)[0]
        what = f"sample {samples[sample].token} has no {CHANNELS[channel]} key frame"
        raise DataError(what, where="sample_data.json")
    prev = previous(records)
    wxyz, translation = read_poses(tables, records.pose)
    lidar_keys = key_record[:, LIDAR_COLUMN]
    mounts = [calibrations[row] for row in records.calibration[lidar_keys].tolist()]
    poses = index_check.LidarPoses(wxyz[lidar_keys], translation[lidar_keys], mounts)
    sensor_to_ego = rigid(
        np.array([row.rotation for row in calibrations], dtype=np.float64),
        np.array([row.translation for row in calibrations], dtype=np.float64),
    )
    columns = {
        "calibration_intrinsics": np.array(
            [row.camera_intrinsic or np.zeros((3, 3)) for row in calibrations], dtype=np.float64
        ),
        "record_path": records.path,
        "record_channel": records.channel,
        "record_scene": sample_scene[records.sample],
        "record_timestamp_us": records.timestamp_us,
        "record_sensor_to_global": rigid(wxyz, translation) @ sensor_to_ego[records.calibration],
        "record_calibration": records.calibration,
        "record_width": records.width,
        "record_height": records.height,
        "record_bytes": lidar_bytes(root, records.path, records.channel == LIDAR_COLUMN),
        "record_prev": prev,
        "sample_key_record": key_record,
    }
    return columns, poses


def _annotation_columns(kept: Annotations, samples: int) -> dict[str, Any]:
    counts = np.bincount(kept.sample, minlength=samples)
    tokens, first, which = np.unique(kept.instance, return_index=True, return_inverse=True)
    in_order = np.argsort(first)
    rank = np.empty(len(tokens), dtype=np.int32)
    rank[in_order] = np.arange(len(tokens))
    return {
        "annotation_offset": np.concatenate([[0], np.cumsum(counts)]),
        "annotation_label": kept.label,
        "annotation_centre": kept.centre,
        "annotation_size_wlh": kept.size_wlh,
        "annotation_wxyz": kept.wxyz,
        "annotation_velocity": kept.velocity,
        "annotation_lidar_points": kept.lidar_points,
        "annotation_radar_points": kept.radar_points,
        "annotation_instance": rank[which],
        "annotation_visibility": kept.visibility,
        "instance_token": tokens[in_order],
    }
