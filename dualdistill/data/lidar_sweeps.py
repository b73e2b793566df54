"""Several LiDAR sweeps in one frame, each moved with the pose of the sensor at its time.

mmdet3d 1.4 rotates before it subtracts the translation (0.88 m off at 10 degrees of yaw), so its loader
is not used. Axes: P points, C columns of a cloud, I = C + 1 with the age.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dualdistill.config.run_spec import TeacherInputSpec
from dualdistill.data.geometry import inverse, move_points
from dualdistill.data.index import Index
from dualdistill.data.sensor_files import Points, SensorFiles
from dualdistill.seeding import seed_for

RING = 4  # column of a stored return
SELF_M = 1.0  # half side of the square around the sensor that contains the car itself


def choose_sweeps(index: Index, key_record: int, sweeps: int, left_out: float | None = None) -> list[int]:
    """Records of a key frame and the sweeps before it, nearest first; fewer in the first frames of a scene.

    The nearest are taken, or all but one of one more: `left_out` in [0, 1) says which. mmdet3d's CenterPoint
    is trained so, on nine random sweeps of the ten in its info files (LoadPointsFromMultiSweeps).
    """
    first = max(index.chain(key_record).start, key_record - sweeps)
    earlier = list(range(key_record - 1, first - 1, -1))
    if len(earlier) == sweeps:
        del earlier[-1 if left_out is None else int(left_out * sweeps)]
    return [key_record, *earlier]


def load_sweeps(index: Index, records: Sequence[int], cloud: Callable[[int], Points]) -> Points:
    """Points [P, I] of a key frame, the first of the records, and of sweeps before it.

    Columns: x, y, z in the key LIDAR_TOP frame, the remaining columns of the cloud, age in seconds.

    As in mmdet3d's CenterPoint configuration, earlier sweeps lose the points within one metre of the sensor
    in both x and y and the key frame keeps them. A key frame without earlier sweeps is not repeated in their
    place as there (pad_empty_sweeps): neither the mean nor the maximum of a pillar changes when all of its
    points are repeated.
    """
    key_record = records[0]
    global_to_key = inverse(index.record_sensor_to_global[key_record])
    parts = []
    for record in records:
        points_PC = cloud(record)
        if record != key_record:
            near = (np.abs(points_PC[:, 0]) < SELF_M) & (np.abs(points_PC[:, 1]) < SELF_M)
            points_PC = points_PC[~near]
        age_us = index.record_timestamp_us[key_record] - index.record_timestamp_us[record]
        moved_PI = np.empty((len(points_PC), points_PC.shape[1] + 1), dtype=np.float32)
        # float64 through the global frame: its coordinates are thousands of metres
        key_from_sweep = global_to_key @ index.record_sensor_to_global[record]
        moved_PI[:, :3] = (
            points_PC[:, :3] if record == key_record else move_points(key_from_sweep, points_PC[:, :3])
        )
        moved_PI[:, 3:-1] = points_PC[:, 3:]
        moved_PI[:, -1] = age_us * 1e-6
        parts.append(moved_PI)
    return np.concatenate(parts)


class DegradedClouds:
    """Clouds with rings dropped and ranges noised, read from the root: a cached cloud has no rings."""

    def __init__(self, files: SensorFiles, spec: TeacherInputSpec) -> None:
        self.files, self.spec = files, spec

    def cloud(self, record: int) -> Points:
        """Points [P, 4]: the kept rings, moved along their rays."""
        points_P5 = self.files.returns(record)
        if self.spec.range_noise_m:
            # drawn before rings are dropped, so that a return has the same noise whatever else is dropped
            draws = np.random.default_rng(seed_for(0, "range noise", self.files.index.path(record)))
            noise_m_P = self.spec.range_noise_m * draws.standard_normal(len(points_P5))
            range_m_P = np.linalg.norm(points_P5[:, :3], axis=1)
            measured_m_P = np.maximum(range_m_P + noise_m_P, 0)
            scale_P = np.divide(measured_m_P, range_m_P, out=np.ones(len(points_P5)), where=range_m_P > 0)
            points_P5[:, :3] *= scale_P[:, None]
        return points_P5[points_P5[:, RING] % self.spec.every_ring == 0, :4]
