"""The previous camera frame of a key frame.

Published BEVDepth4D draws from a list of every third camera frame, 0.75 to 2.25 s back. Here the age is drawn
and the nearest frame taken, so the rule means the same at any frame rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualdistill.config.nuscenes import CAMERAS, CHANNELS
from dualdistill.data.index import LIDAR_COLUMN, Index
from dualdistill.errors import DataError

FRONT = CHANNELS.index("CAM_FRONT")
# Age given to a key frame that is its own previous frame, in displacement targets and in decoding: one
# interval of nuScenes' cameras, as in DistillBEV (mmdet3d/datasets/nuscenes_dataset.py, camera_interval).
CAMERA_INTERVAL_S = 1 / 12


@dataclass(frozen=True)
class PreviousFrame:
    """The second frame of a sample: a record per camera, the nearest LiDAR record, and its age."""

    camera_records: tuple[int, ...]  # in the order of CAMERAS
    lidar_record: int
    age_s: float  # of the CAM_FRONT image; negative if it comes after the key frame


def choose_previous_frame(index: Index, sample: int, target_age_s: float, scene_start: str) -> PreviousFrame:
    """Choose the frame nearest to the target age before the key frame.

    CAM_FRONT is chosen first and the other cameras follow its time. For a key frame with no image before it
    `scene_start` is current, itself, or next, the frame as far ahead, whose age is negative.
    """
    keys = index.sample_key_record[sample]
    front = int(keys[FRONT])
    chain = index.chain(front)
    has_past = front > chain.start
    if not has_past and scene_start == "current":
        return PreviousFrame(tuple(map(int, keys[1:])), int(keys[LIDAR_COLUMN]), CAMERA_INTERVAL_S)
    if chain.stop - chain.start < 2:
        what = "its scene has a single CAM_FRONT image, so there is no other frame"
        hint = "input.scene_start: current takes the image twice"
        raise DataError(what, where=f"sample {index.token(sample)}", hint=hint)
    now_us = int(index.record_timestamp_us[front])
    chosen = index.nearest_in_chain(front, now_us - (1 if has_past else -1) * target_age_s * 1e6)
    # an age below half a frame interval would choose the key frame itself
    chosen = min(chosen, front - 1) if has_past else max(chosen, front + 1)
    then_us = int(index.record_timestamp_us[chosen])
    cameras = []
    for column in range(1, len(CAMERAS) + 1):
        key = int(keys[column])
        timestamp_us = index.record_timestamp_us[key] + then_us - now_us
        cameras.append(chosen if column == FRONT else index.nearest_in_chain(key, timestamp_us))
    lidar = index.nearest_in_chain(int(keys[LIDAR_COLUMN]), then_us)
    return PreviousFrame(tuple(cameras), lidar, float(np.float64(now_us - then_us) * 1e-6))
