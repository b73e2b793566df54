"""Which earlier image goes with a key frame, and how the car moved in between.

Published BEVDepth4D draws one of a list of every third camera frame, 0.75 to 2.25 s back; here the age is
drawn and the nearest frame taken, so the rule means the same at any frame rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualdistill.config.nuscenes import CAMERAS, CHANNELS
from dualdistill.data.index import LIDAR_COLUMN, Index
from dualdistill.errors import DataError

FRONT = CHANNELS.index("CAM_FRONT")


@dataclass(frozen=True)
class History:
    """The other frame of a sample: one record per camera, the LiDAR frame they are placed in, and its age."""

    camera_records: tuple[int, ...]  # in the order of CAMERAS
    lidar_record: int
    age_s: float  # of the CAM_FRONT image; negative when the frame lies ahead


def choose_history(index: Index, sample: int, target_age_s: float) -> History:
    """The frame nearest to the wanted age behind the key frame.

    CAM_FRONT decides and the other cameras follow in time. Where a scene begins and nothing lies behind, the
    frame as far ahead takes its place (the published rule); the age is then negative and the geometry needs
    no special case.
    """
    front = int(index.sample_key_record[sample, FRONT])
    chain = index.chain(front)
    now_us = int(index.record_timestamp_us[front])
    if chain.stop - chain.start < 2:
        where = f"sample {index.token(sample)}"
        raise DataError("its scene has a single CAM_FRONT image, so there is no history", where=where)
    behind = front > chain.start
    chosen = index.nearest_in_chain(front, now_us - (1 if behind else -1) * target_age_s * 1e6)
    # an age below half a frame interval would choose the key frame itself
    chosen = min(chosen, front - 1) if behind else max(chosen, front + 1)
    then_us = int(index.record_timestamp_us[chosen])
    cameras = []
    for column in range(1, len(CAMERAS) + 1):
        key = int(index.sample_key_record[sample, column])
        moment = index.record_timestamp_us[key] + then_us - now_us
        cameras.append(chosen if column == FRONT else index.nearest_in_chain(key, moment))
    lidar = index.nearest_in_chain(int(index.sample_key_record[sample, LIDAR_COLUMN]), then_us)
    return History(tuple(cameras), lidar, float(np.float64(now_us - then_us) * 1e-6))
