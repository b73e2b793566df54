"""The index: the content of a nuScenes root's tables as flat columns in one .npz without pickles.

Rows: R sensor records (LIDAR_TOP and six cameras, key frames and sweeps), S samples, A annotations of the ten
classes. Records lie in chains, one per channel and scene, oldest first, so the previous frame is
the previous row. Annotations stay in the global frame; those of sample s are rows annotation_offset[s] to
annotation_offset[s + 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dualdistill.config.nuscenes import CHANNELS, CLASSES
from dualdistill.data.columns import Columns, Integers, Strings
from dualdistill.data.geometry import Array, boxes_from_global
from dualdistill.errors import UserError

LIDAR_COLUMN = 0  # place in CHANNELS, hence in sample_key_record; camera n of CAMERAS is column n + 1


@dataclass(frozen=True, eq=False)
class Index(Columns):
    """Columns by row kind."""

    SCHEMA, NOUN, HINT = 1, "index", "delete the file and build the index again"

    version: Strings  # of the tables, e.g. v1.0-trainval; one row
    split_role: Strings  # this suite's name of a split: train, dev, val, pretrain
    split_name: Strings  # the devkit's name of it; two roles may share a split
    scene_name: Strings
    calibration_intrinsics: Array  # [., 3, 3], zeros for a LiDAR
    record_path: Strings  # relative to the root
    record_channel: Integers  # into CHANNELS
    record_scene: Integers
    record_timestamp_us: Integers
    record_sensor_to_global: Array  # [R, 4, 4], through the ego pose at the record's time
    record_calibration: Integers
    record_width: Integers
    record_height: Integers
    record_bytes: Integers  # of a LiDAR file; 0 for an image
    record_prev: Integers  # the previous row, or -1 at the start of a chain
    sample_token: Strings
    sample_scene: Integers
    sample_timestamp_us: Integers
    sample_key_record: Integers  # [S, 7], by CHANNELS
    sample_in_split: NDArray[np.bool_]  # [S, roles]
    annotation_offset: Integers  # [S + 1]
    annotation_label: Integers  # into CLASSES
    annotation_centre: Array  # [A, 3]
    annotation_size_wlh: Array  # [A, 3]
    annotation_wxyz: Array  # [A, 4]
    annotation_velocity: Array  # [A, 3], the devkit's estimate, NaN where it has none
    annotation_lidar_points: Integers
    annotation_radar_points: Integers
    annotation_instance: Integers  # into instance_token
    annotation_visibility: Integers  # the devkit's level 1..4, 0 unknown
    instance_token: Strings

    @cached_property
    def _chain_start(self) -> Integers:
        return np.append(np.flatnonzero(self.record_prev < 0), len(self.record_prev))

    def chain(self, record: int) -> slice:
        """Rows of the chain that contains a record."""
        number = int(np.searchsorted(self._chain_start, record, side="right"))
        return slice(int(self._chain_start[number - 1]), int(self._chain_start[number]))

    def nearest_in_chain(self, record: int, timestamp_us: float) -> int:
        """Row of a record's chain nearest to a timestamp; of two equally near, the earlier."""
        chain = self.chain(record)
        times = self.record_timestamp_us[chain]
        after = int(np.searchsorted(times, timestamp_us))
        if after == len(times) or (
            after > 0 and timestamp_us - times[after - 1] <= times[after] - timestamp_us
        ):
            after -= 1
        return chain.start + after

    def samples(self, split: str) -> Integers:
        """Sample rows of a split, given by its role or by the devkit's name."""
        for names in (self.split_role, self.split_name):
            columns = np.flatnonzero(names == split.encode())
            if len(columns):
                return np.flatnonzero(self.sample_in_split[:, columns[0]])
        known = ", ".join(sorted({name.decode() for name in (*self.split_role, *self.split_name)}))
        raise UserError(f"the index has no split named {split}", hint=f"it has {known}")

    def token(self, sample: int) -> str:
        return str(self.sample_token[sample].decode())

    def path(self, record: int) -> str:
        return str(self.record_path[record].decode())

    def channel(self, record: int) -> str:
        return CHANNELS[self.record_channel[record]]

    def intrinsics(self, record: int) -> Array:
        return np.asarray(self.calibration_intrinsics[self.record_calibration[record]])

    def describe(self, record: int) -> str:
        """Channel of a record and its sample; for a sweep, the next sample."""
        column = int(self.record_channel[record])
        keys = self.sample_key_record[:, column]
        sample = min(int(np.searchsorted(keys, record)), len(keys) - 1)
        if self.sample_scene[sample] != self.record_scene[record]:
            sample -= 1  # after the last key frame of its scene
        return f"{CHANNELS[column]} of sample {self.token(sample)}"

    def annotations(self, sample: int) -> slice:
        return slice(int(self.annotation_offset[sample]), int(self.annotation_offset[sample + 1]))

    def has_points(self) -> NDArray[np.bool_]:
        """Mask of the annotations with a LiDAR or radar point: only those are trained on and evaluated."""
        return np.asarray(self.annotation_lidar_points + self.annotation_radar_points > 0)

    def boxes(self, sample: int) -> Array:
        """A sample's annotations [K, 9] in its LIDAR_TOP frame (geometry.py)."""
        rows = self.annotations(sample)
        return boxes_from_global(
            self.record_sensor_to_global[self.sample_key_record[sample, LIDAR_COLUMN]],
            self.annotation_centre[rows],
            self.annotation_size_wlh[rows],
            self.annotation_wxyz[rows],
            self.annotation_velocity[rows],
        )

    def counts(self, split: str) -> dict[str, int]:
        """Number of boxes with a point per class in a split."""
        chosen = np.zeros(len(self.sample_token), dtype=bool)
        chosen[self.samples(split)] = True
        keep = np.repeat(chosen, np.diff(self.annotation_offset)) & self.has_points()
        numbers = np.bincount(self.annotation_label[keep], minlength=len(CLASSES))
        return dict(zip(CLASSES, numbers.tolist(), strict=True))
