"""A nuScenes root of one key frame, written from an mmdet3d info record and the sensor files beside it.

The devkit and this suite read it; nothing of the frame is changed. A single frame has no neighbours in time,
so boxes have no velocity and the previous image is the current one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from dualdistill.config.nuscenes import CHANNELS, LIDAR
from dualdistill.data.geometry import Array, inverse
from dualdistill.world.nuscenes.names import token
from dualdistill.world.nuscenes.tables import TABLES, Row, shared_tables

VERSION, SPLIT, SCENE = "v1.0-mini", "mini_train", "scene-0061"
CATEGORIES = {  # any category of the class, since the record names classes only
    "car": "vehicle.car",
    "truck": "vehicle.truck",
    "trailer": "vehicle.trailer",
    "bus": "vehicle.bus.rigid",
    "construction_vehicle": "vehicle.construction",
    "bicycle": "vehicle.bicycle",
    "motorcycle": "vehicle.motorcycle",
    "pedestrian": "human.pedestrian.adult",
    "traffic_cone": "movable_object.trafficcone",
    "barrier": "movable_object.barrier",
}
IMAGE_SIZE = (900, 1600)
SWEEP_US = 50_000


def read_info(folder: Path) -> tuple[dict[str, Any], dict[int, str]]:
    """The record of the frame, and the class of each label; other labels are of no class."""
    document = json.loads((folder / "info.json").read_text())
    return document["data_list"][0], {
        label: name for name, label in document["metainfo"]["categories"].items()
    }


def write_root(folder: Path, root: Path, sweeps: int = 0) -> Path:
    """Write the root of the frame in a folder: tables, and links to its sensor files.

    With `sweeps`, as many LiDAR records stand before the frame, all of them its own cloud: to measure time.
    """
    info, classes = read_info(folder)
    sample_token = info["token"]
    tables: dict[str, list[Row]] = {name: [] for name in TABLES} | shared_tables()
    lidar_to_global = np.array(info["ego2global"]) @ np.array(info["lidar_points"]["lidar2ego"])
    for channel in CHANNELS:
        _add_sensor(tables, info, channel, lidar_to_global, sample_token)
        target = root / tables["sample_data"][-1]["filename"]
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.symlink_to(next(folder.glob(f"*__{channel}__*")).resolve())
    _add_sweeps(tables, sweeps)
    for number, box in enumerate(info["instances"]):
        if box["bbox_label_3d"] in classes:
            _add_box(tables, number, box, classes[box["bbox_label_3d"]], lidar_to_global, sample_token)
    _add_scene(tables, sample_token, _microseconds(info["timestamp"]))
    (root / "maps").mkdir(exist_ok=True)
    Image.new("L", (8, 8)).save(root / tables["map"][0]["filename"])
    (root / VERSION).mkdir(exist_ok=True)
    for name, rows in tables.items():
        (root / VERSION / f"{name}.json").write_text(json.dumps(rows))
    (root / VERSION / "splits.json").write_text(json.dumps({SPLIT: [SCENE]}))
    return root


def _add_sensor(
    tables: dict[str, list[Row]], info: dict[str, Any], channel: str, lidar_to_global: Array, sample: str
) -> None:
    """Add calibration, ego pose and file of a sensor; a camera's ego pose follows from its record."""
    if channel == LIDAR:
        stamp, sensor_to_ego = info["timestamp"], np.array(info["lidar_points"]["lidar2ego"])
        sensor_to_global, intrinsics = lidar_to_global, []
    else:
        camera = info["images"][channel]
        stamp, sensor_to_ego, intrinsics = camera["timestamp"], np.array(camera["cam2ego"]), camera["cam2img"]
        sensor_to_global = lidar_to_global @ inverse(np.array(camera["lidar2cam"]))
    data, calibration = token(SCENE, channel), token(SCENE, "calibrated_sensor", channel)
    ending, size = ("pcd.bin", (0, 0)) if channel == LIDAR else ("jpg", IMAGE_SIZE)
    sensor = {"token": calibration, "sensor_token": token("sensor", channel), "camera_intrinsic": intrinsics}
    tables["calibrated_sensor"].append(sensor | _pose(sensor_to_ego))
    ego = _pose(sensor_to_global @ inverse(sensor_to_ego))
    tables["ego_pose"].append({"token": data, "timestamp": _microseconds(stamp)} | ego)
    tables["sample_data"].append(
        {
            "token": data,
            "sample_token": sample,
            "ego_pose_token": data,
            "calibrated_sensor_token": calibration,
            "timestamp": _microseconds(stamp),
            "fileformat": ending.partition(".")[0],
            "is_key_frame": True,
            "height": size[0],
            "width": size[1],
            "filename": f"samples/{channel}/{SCENE}__{channel}.{ending}",
            "prev": "",
            "next": "",
        }
    )


def _add_sweeps(tables: dict[str, list[Row]], count: int) -> None:
    """Repeat the LiDAR's record at 20 Hz before the key frame."""
    key = next(row for row in tables["sample_data"] if row["filename"].endswith(".pcd.bin"))
    for number in range(1, count + 1):
        later, stamp = tables["sample_data"][-1] if number > 1 else key, key["timestamp"] - number * SWEEP_US
        data = token(SCENE, "sweep", number)
        pose = {**tables["ego_pose"][0], "token": data, "timestamp": stamp}
        row = {**key, "token": data, "ego_pose_token": data, "timestamp": stamp, "is_key_frame": False}
        tables["ego_pose"].append(pose)
        tables["sample_data"].append({**row, "prev": "", "next": later["token"]})
        later["prev"] = data


def _add_box(
    tables: dict[str, list[Row]], number: int, box: dict[str, Any], name: str, to_global: Array, sample: str
) -> None:
    x, y, z, length, width, height, yaw = box["bbox_3d"]
    heading = to_global[:3, :3] @ (np.cos(yaw), np.sin(yaw), 0)
    half = np.arctan2(heading[1], heading[0]) / 2  # annotated boxes stand upright in the world
    annotation, instance = token(SCENE, "annotation", number), token(SCENE, "instance", number)
    tables["instance"].append(
        {
            "token": instance,
            "category_token": token("category", CATEGORIES[name]),
            "nbr_annotations": 1,
            "first_annotation_token": annotation,
            "last_annotation_token": annotation,
        }
    )
    tables["sample_annotation"].append(
        {
            "token": annotation,
            "sample_token": sample,
            "instance_token": instance,
            "attribute_tokens": [],
            "visibility_token": "4",
            "translation": (to_global @ (x, y, z, 1))[:3].tolist(),
            "size": [width, length, height],
            "rotation": [float(np.cos(half)), 0.0, 0.0, float(np.sin(half))],
            "num_lidar_pts": box["num_lidar_pts"],
            "num_radar_pts": box["num_radar_pts"],
            "prev": "",
            "next": "",
        }
    )


def _add_scene(tables: dict[str, list[Row]], sample: str, timestamp: int) -> None:
    scene, log = token(SCENE, "scene"), token(SCENE, "log")
    ends = {"first_sample_token": sample, "last_sample_token": sample}
    about = {"name": SCENE, "description": "one key frame", "nbr_samples": 1}
    tables["scene"] = [{"token": scene, "log_token": log} | ends | about]
    chain = {"prev": "", "next": ""}
    tables["sample"] = [{"token": sample, "timestamp": timestamp, "scene_token": scene} | chain]
    place = {"logfile": "", "vehicle": "", "date_captured": "2018-07-24", "location": "singapore-onenorth"}
    tables["log"] = [{"token": log} | place]
    file = {"category": "semantic_prior", "filename": "maps/empty.png"}
    tables["map"] = [{"token": token(SCENE, "map"), "log_tokens": [log]} | file]


def _pose(matrix_44: Array) -> dict[str, list[float]]:
    wxyz = Rotation.from_matrix(matrix_44[:3, :3]).as_quat(scalar_first=True)
    return {"rotation": wxyz.tolist(), "translation": matrix_44[:3, 3].tolist()}


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)
