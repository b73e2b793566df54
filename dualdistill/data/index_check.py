"""Comparison of an index's boxes with the devkit's, so that no swapped convention is trained on.

The devkit's boxes are moved step by step (global, ego, sensor) by quaternions: an independent path to the
same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from nuscenes import NuScenes
from nuscenes.eval.common.utils import quaternion_yaw
from nuscenes.eval.detection.utils import category_to_detection_name
from nuscenes.utils.data_classes import Box
from pyquaternion import Quaternion

from dualdistill.config.nuscenes import LIDAR
from dualdistill.data.annotations import Annotations
from dualdistill.data.geometry import Array
from dualdistill.data.index import LIDAR_COLUMN, Index
from dualdistill.data.sensor_records import CalibrationRow
from dualdistill.errors import DataError


class LidarPoses(NamedTuple):
    """Ego poses and mounts of the LiDAR key frames, by sample."""

    wxyz: Array
    translation: Array
    mounts: list[CalibrationRow]


DevkitBoxes = Callable[[Index, int], list[Box]]  # a sample's boxes in its LIDAR_TOP frame, velocities global


def from_devkit(nusc: NuScenes) -> DevkitBoxes:
    """The boxes that the devkit reads from the tables."""

    def boxes(index: Index, sample: int) -> list[Box]:
        _, found, _ = nusc.get_sample_data(nusc.get("sample", index.token(sample))["data"][LIDAR])
        kept = [box for box in found if category_to_detection_name(box.name) is not None]
        for box in kept:
            box.velocity = nusc.box_velocity(box.token)
        return kept

    return boxes


def from_tables(annotations: Annotations, poses: LidarPoses) -> DevkitBoxes:
    """Boxes of the devkit's class made from this suite's reading of the tables.

    Velocities come from the track of each instance, not from the links between its annotations.
    """

    def boxes(index: Index, sample: int) -> list[Box]:
        rows = np.flatnonzero(annotations.sample == sample)
        mount, made = poses.mounts[sample], []
        for row in rows.tolist():
            box = Box(
                annotations.centre[row],
                annotations.size_wlh[row],
                Quaternion(annotations.wxyz[row]),
                velocity=_velocity(index, annotations, row),
                token=annotations.token[row].decode(),
            )
            velocity = box.velocity.copy()
            box.translate(-poses.translation[sample])
            box.rotate(Quaternion(poses.wxyz[sample]).inverse)
            box.translate(-np.array(mount.translation))
            box.rotate(Quaternion(mount.rotation).inverse)
            box.velocity = velocity
            made.append(box)
        return made

    return boxes


def _velocity(index: Index, annotations: Annotations, row: int) -> Array:
    track = np.flatnonzero(annotations.instance == annotations.instance[row])
    time_s = index.sample_timestamp_us[annotations.sample[track]] * 1e-6
    track, time_s = track[order := np.argsort(time_s)], time_s[order]
    here = int(np.flatnonzero(track == row)[0])
    first, last = max(here - 1, 0), min(here + 1, len(track) - 1)
    gap_s = time_s[last] - time_s[first]
    if first == last or gap_s > 1.5 * (last - first):
        return np.full(3, np.nan)
    return (annotations.centre[track[last]] - annotations.centre[track[first]]) / gap_s


def compare(index: Index, devkit_boxes: DevkitBoxes, count: int = 5) -> None:
    """Compare the boxes of a few samples."""
    spread = np.linspace(0, len(index.sample_token) - 1, min(count, len(index.sample_token))).astype(int)
    for sample in spread.tolist():
        token = index.token(sample)
        theirs, boxes_K9 = devkit_boxes(index, sample), index.boxes(sample)
        if len(boxes_K9) != len(theirs):
            raise DataError(
                f"sample {token} has {len(boxes_K9)} boxes in the index and {len(theirs)} in the devkit"
            )
        lidar_from_global = np.linalg.inv(
            index.record_sensor_to_global[index.sample_key_record[sample, LIDAR_COLUMN]]
        )
        for box_9, box in zip(boxes_K9, theirs, strict=True):
            turn = box_9[6] - quaternion_yaw(box.orientation)
            speed = lidar_from_global[:3, :3] @ (box.velocity * (1, 1, 0))
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
