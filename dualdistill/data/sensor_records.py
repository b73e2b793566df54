"""Sensor records of a nuScenes root as columns: files, times, key frames and poses.

Axes: R records, in chains: one per channel and scene, oldest first.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dualdistill.config.nuscenes import CHANNELS
from dualdistill.data.columns import Integers, Strings
from dualdistill.data.geometry import Array
from dualdistill.data.tables import Row, SensorRow, Tables, strings
from dualdistill.errors import DataError


class KeyRow(Row):
    """The fields of sample_data that key frames need."""

    sample_token: str
    ego_pose_token: str
    calibrated_sensor_token: str
    is_key_frame: bool


class RecordRow(KeyRow):
    timestamp: int
    filename: str
    prev: str
    width: int | None
    height: int | None


class PoseRow(Row):
    rotation: tuple[float, float, float, float]
    translation: tuple[float, float, float]


class CalibrationRow(PoseRow):
    sensor_token: str
    camera_intrinsic: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, eq=False)
class Records:
    """Records of some samples and of the channels in CHANNELS."""

    token: Strings
    prev: Strings
    path: Strings
    pose: Strings  # token of the ego pose
    sample: Integers  # place among the samples
    channel: Integers  # into CHANNELS
    calibration: Integers  # row of calibrated_sensor
    timestamp_us: Integers
    is_key: NDArray[np.bool_]
    width: Integers
    height: Integers


def channels(tables: Tables, calibrations: list[CalibrationRow]) -> dict[str, int]:
    """Place of a calibration's sensor in CHANNELS by token, -1 for one that is not used."""
    names = {row.token: row.channel for row in tables.rows("sensor", SensorRow)}
    places = {name: place for place, name in enumerate(CHANNELS)}
    for row in calibrations:
        if row.sensor_token not in names:
            raise tables.fault("calibrated_sensor", f"calibration {row.token} has an unknown sensor")
    return {row.token: places.get(names[row.sensor_token], -1) for row in calibrations}


def read_records(
    tables: Tables, calibrations: list[CalibrationRow], sample_rank: dict[str, int], sample_scene: Integers
) -> tuple[Records, Integers]:
    """The records of the ranked samples, and the row of each sample's key frame by channel, or -1."""
    channel_of = channels(tables, calibrations)
    calibration_row = {row.token: number for number, row in enumerate(calibrations)}
    blocks = []
    for rows in tables.blocks("sample_data", RecordRow):
        chosen = [
            row for row in rows if row.sample_token in sample_rank and _channel(tables, row, channel_of) >= 0
        ]
        blocks.append(_columns(chosen, channel_of, calibration_row, sample_rank))
    names = [item.name for item in fields(Records)]
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in names}
    del blocks
    order = np.lexsort((columns["timestamp_us"], sample_scene[columns["sample"]], columns["channel"]))
    # of several key frames of one sample and channel the devkit takes the last of the table
    keys = np.flatnonzero(columns["is_key"])
    row_of = np.empty(len(order), dtype=np.int64)
    row_of[order] = np.arange(len(order))
    key_record = np.full((len(sample_rank), len(CHANNELS)), -1, dtype=np.int64)
    key_record[columns["sample"][keys], columns["channel"][keys]] = row_of[keys]
    for name in names:
        columns[name] = columns[name][order]
    return Records(**columns), key_record


def _channel(tables: Tables, row: KeyRow, channel_of: dict[str, int]) -> int:
    try:
        return channel_of[row.calibrated_sensor_token]
    except KeyError:
        raise tables.fault("sample_data", f"record {row.token} has an unknown calibration") from None


def _columns(
    rows: list[RecordRow],
    channel_of: dict[str, int],
    calibration_row: dict[str, int],
    sample_rank: dict[str, int],
) -> dict[str, np.ndarray]:
    return {
        "token": strings([row.token for row in rows]),
        "prev": strings([row.prev for row in rows]),
        "path": strings([row.filename for row in rows]),
        "pose": strings([row.ego_pose_token for row in rows]),
        "sample": np.array([sample_rank[row.sample_token] for row in rows], dtype=np.int32),
        "channel": np.array([channel_of[row.calibrated_sensor_token] for row in rows], dtype=np.int8),
        "calibration": np.array(
            [calibration_row[row.calibrated_sensor_token] for row in rows], dtype=np.int32
        ),
        "timestamp_us": np.array([row.timestamp for row in rows], dtype=np.int64),
        "is_key": np.array([row.is_key_frame for row in rows], dtype=bool),
        "width": np.array([row.width or 0 for row in rows], dtype=np.int32),
        "height": np.array([row.height or 0 for row in rows], dtype=np.int32),
    }


def previous(records: Records) -> Integers:
    """The previous row of every record, or -1 at the start of a chain."""
    starts = records.prev == b""
    before = np.concatenate([records.token[-1:], records.token[:-1]])
    unchained = np.flatnonzero(~starts & (records.prev != before))
    # the first row has none before it, even where its prev names the last
    if len(records.token) and not starts[0]:
        unchained = np.append(0, unchained)
    if len(unchained):
        what = "a record's prev is not the record before it in time"
        raise DataError(what, where=records.path[unchained[0]].decode(), hint="sample_data.prev")
    return np.where(starts, -1, np.arange(len(starts)) - 1)


def read_poses(tables: Tables, tokens: Strings) -> tuple[Array, Array]:
    """Quaternions w, x, y, z [R, 4] and translations [R, 3] of ego poses, by token."""
    wanted, place = np.unique(tokens, return_inverse=True)
    wxyz, translation = np.full((len(wanted), 4), np.nan), np.empty((len(wanted), 3))
    for rows in tables.blocks("ego_pose", PoseRow):
        given = strings([row.token for row in rows])
        near = np.minimum(np.searchsorted(wanted, given), len(wanted) - 1)
        hits = np.flatnonzero(wanted[near] == given)
        if len(hits):
            wxyz[near[hits]] = [rows[hit].rotation for hit in hits.tolist()]
            translation[near[hits]] = [rows[hit].translation for hit in hits.tolist()]
    absent = np.flatnonzero(np.isnan(wxyz).any(axis=1))
    if len(absent):
        raise tables.fault("ego_pose", f"the pose {wanted[absent[0]].decode()} is missing")
    return wxyz[place], translation[place]


def lidar_bytes(root: Path, paths: Strings, lidar: NDArray[np.bool_]) -> Integers:
    """File sizes of the clouds, to notice later damage; 0 for images."""
    sizes = np.zeros(len(paths), dtype=np.int64)
    missing = []
    for record in np.flatnonzero(lidar).tolist():
        try:
            sizes[record] = (root / paths[record].decode()).stat().st_size
        except FileNotFoundError:
            missing.append(paths[record].decode())
    if missing:
        what = f"{len(missing)} LiDAR files of the tables are missing"
        raise DataError(what, where=str(root / missing[0]), hint="was every archive unpacked?")
    return sizes
