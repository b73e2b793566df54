"""Several LiDAR sweeps in one frame, each moved with the sensor's pose at its own time.

mmdet3d 1.4 rotates before it subtracts the translation (0.88 m off at 10 degrees of yaw), hence a loader of
our own. Axes: P points.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dualdistill.data.files import Points
from dualdistill.data.geometry import inverse, move_points
from dualdistill.data.index import Index

SELF_M = 1.0  # half side of the square around the sensor whose returns are the car itself


def load_sweeps(index: Index, key_record: int, sweeps: int, cloud: Callable[[int], Points]) -> Points:
    """Points [P, 5] of the key frame and the sweeps before it.

    Columns: x, y, z in the key LIDAR_TOP frame, intensity, age in seconds.

    As in mmdet3d's CenterPoint set-up, earlier sweeps lose the points within one metre of the sensor in both
    x and y and the key frame keeps them. Unlike there, the nearest sweeps are taken, not random ones, and a
    scene's first frames simply have fewer.
    """
    first = max(index.chain(key_record).start, key_record - sweeps + 1)
    global_to_key = inverse(index.record_sensor_to_global[key_record])
    parts = []
    for record in range(key_record, first - 1, -1):
        points_P4 = cloud(record)
        if record != key_record:
            near = (np.abs(points_P4[:, 0]) < SELF_M) & (np.abs(points_P4[:, 1]) < SELF_M)
            points_P4 = points_P4[~near]
        age_us = index.record_timestamp_us[key_record] - index.record_timestamp_us[record]
        moved_P5 = np.empty((len(points_P4), 5), dtype=np.float32)
        # float64 through the global frame: its coordinates are thousands of metres
        key_from_sweep = global_to_key @ index.record_sensor_to_global[record]
        moved_P5[:, :3] = (
            points_P4[:, :3] if record == key_record else move_points(key_from_sweep, points_P4[:, :3])
        )
        moved_P5[:, 3] = points_P4[:, 3]
        moved_P5[:, 4] = age_us * 1e-6
        parts.append(moved_P5)
    return np.concatenate(parts)
