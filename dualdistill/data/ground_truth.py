"""The ground truth of a split: its annotated boxes, before the filters of the official evaluation.

It is read from the tables, and kept in a file of its own beside the index: trainings need none of it, so
that a change here leaves the index and everything made from it valid. Axes: S samples in the order of their
table, G boxes, R racks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dualdistill.config.nuscenes import LIDAR
from dualdistill.data.annotations import OTHER_ATTRIBUTE, RACK, Annotations, read_annotations
from dualdistill.data.columns import Columns, Integers, Strings
from dualdistill.data.geometry import Array
from dualdistill.data.index import LIDAR_COLUMN
from dualdistill.data.sensor_records import CalibrationRow, KeyRow, channels, read_poses
from dualdistill.data.tables import NamedRow, SampleRow, Tables, strings
from dualdistill.errors import DataError


@dataclass(frozen=True, eq=False)
class GroundTruth(Columns):
    """Boxes of a split, and where the car stood."""

    SCHEMA, NOUN, HINT = 1, "ground truth", "delete the file and evaluate again"

    root_samples: Integers  # number of samples in the whole root; one row
    scene_name: Strings
    sample_token: Strings
    sample_scene: Integers  # into scene_name
    sample_ego: Array  # [S, 3], position of the car at the LiDAR's key frame
    box_sample: Integers  # ascending; within a sample in the order of the table
    box_label: Integers  # into CLASSES
    box_attribute: Integers  # into ATTRIBUTE_NAMES, -1 for none
    box_centre: Array  # [G, 3]
    box_size_wlh: Array  # [G, 3]
    box_wxyz: Array  # [G, 4]
    box_velocity: Array  # [G, 2], NaN where there is none
    box_points: Integers  # of LiDAR and radar
    rack_sample: Integers
    rack_centre: Array  # [R, 3]
    rack_size_wlh: Array  # [R, 3]
    rack_wxyz: Array  # [R, 4]

    @staticmethod
    def file(index: Path, split: str) -> Path:
        return index.parent / f"ground_truth_{split}.npz"

    @staticmethod
    def forget(index: Path) -> None:
        """Delete the files beside an index, which is built anew."""
        for file in index.parent.glob("ground_truth_*.npz"):
            file.unlink()

    @classmethod
    def open(cls, root: Path, version: str, split: str, file: Path | None = None) -> GroundTruth:
        """Load the file if it exists; otherwise read the tables, and write it for the next evaluation."""
        if file is not None and file.exists():
            return cls.load(file)
        made = read(Tables(root, version), split)
        if file is not None:
            made.save(file)
        return made

    @property
    def tokens(self) -> list[str]:
        return [token.decode() for token in self.sample_token.tolist()]


def read(tables: Tables, split: str) -> GroundTruth:
    """Read the ground truth of a split, which must have at least one box of a detection class."""
    names = tables.scenes_of(split)
    scenes = [row for row in tables.rows("scene", NamedRow) if row.name in names]
    scene_rank = {row.token: rank for rank, row in enumerate(scenes)}
    every_sample = tables.rows("sample", SampleRow)
    chosen = [number for number, row in enumerate(every_sample) if row.scene_token in scene_rank]
    samples = [every_sample[number] for number in chosen]
    annotations = read_annotations(tables, every_sample, np.array(chosen, dtype=np.int64))
    boxes, racks = annotations.take(annotations.label >= 0), annotations.take(annotations.label == RACK)
    if not len(boxes.label):
        where = str(tables.folder)
        raise DataError(f"split {split!r} has no annotated box of a detection class", where=where)
    _check_attributes(tables, boxes)
    return GroundTruth(
        root_samples=np.array([len(every_sample)]),
        scene_name=strings([row.name for row in scenes]),
        sample_token=strings([row.token for row in samples]),
        sample_scene=np.array([scene_rank[row.scene_token] for row in samples], dtype=np.int32),
        sample_ego=_ego_positions(tables, samples),
        box_sample=boxes.sample.astype(np.int32),
        box_label=boxes.label,
        box_attribute=boxes.attribute,
        box_centre=boxes.centre,
        box_size_wlh=boxes.size_wlh,
        box_wxyz=boxes.wxyz,
        box_velocity=boxes.velocity[:, :2],
        box_points=boxes.lidar_points + boxes.radar_points,
        rack_sample=racks.sample.astype(np.int32),
        rack_centre=racks.centre,
        rack_size_wlh=racks.size_wlh,
        rack_wxyz=racks.wxyz,
    )


def _check_attributes(tables: Tables, boxes: Annotations) -> None:
    wrong = np.flatnonzero(boxes.attribute == OTHER_ATTRIBUTE)
    if len(wrong):
        token = boxes.token[wrong[0]].decode()
        what = f"annotation {token} has more than one attribute, or one that is not nuScenes'"
        raise tables.fault("sample_annotation", what)


def _ego_positions(tables: Tables, samples: Sequence[SampleRow]) -> Array:
    """Position of the car at each sample's LiDAR key frame; of several, the last of the table."""
    channel_of = channels(tables, tables.rows("calibrated_sensor", CalibrationRow))
    pose: dict[str, str | None] = {row.token: None for row in samples}
    for rows in tables.blocks("sample_data", KeyRow):
        for row in rows:
            lidar = channel_of.get(row.calibrated_sensor_token) == LIDAR_COLUMN
            if lidar and row.is_key_frame and row.sample_token in pose:
                pose[row.sample_token] = row.ego_pose_token
    if absent := [sample for sample, token in pose.items() if token is None]:
        raise tables.fault("sample_data", f"sample {absent[0]} has no {LIDAR} key frame")
    _, translation = read_poses(tables, strings([token or "" for token in pose.values()]))
    return translation
