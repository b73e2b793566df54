"""Rows of the nuScenes tables.

A token is a hash of the name of its row, so that it is the same on any machine and for any number of workers.
"""

from __future__ import annotations

import itertools
from typing import Any

from dualdistill.world.nuscenes.names import token
from dualdistill.world.scene.traffic import Actor
from dualdistill.world.sensors.rig import LIDAR, MOUNTS, Pose, Sensor, ground_quaternion, quaternion

Row = dict[str, Any]
TABLES = (
    "category",
    "attribute",
    "visibility",
    "instance",
    "sensor",
    "calibrated_sensor",
    "ego_pose",
    "log",
    "scene",
    "sample",
    "sample_data",
    "sample_annotation",
    "map",
)
CATEGORY_NAMES = (
    "human.pedestrian.adult",
    "human.pedestrian.child",
    "human.pedestrian.wheelchair",
    "human.pedestrian.stroller",
    "human.pedestrian.personal_mobility",
    "human.pedestrian.police_officer",
    "human.pedestrian.construction_worker",
    "animal",
    "vehicle.car",
    "vehicle.motorcycle",
    "vehicle.bicycle",
    "vehicle.bus.bendy",
    "vehicle.bus.rigid",
    "vehicle.truck",
    "vehicle.construction",
    "vehicle.emergency.ambulance",
    "vehicle.emergency.police",
    "vehicle.trailer",
    "movable_object.barrier",
    "movable_object.trafficcone",
    "movable_object.pushable_pullable",
    "movable_object.debris",
    "static_object.bicycle_rack",
)
ATTRIBUTES = {
    "vehicle.moving": "the vehicle drives",
    "vehicle.stopped": "the vehicle stands in a lane and will drive on",
    "vehicle.parked": "the vehicle stands where it was left",
    "cycle.with_rider": "somebody sits on the cycle",
    "cycle.without_rider": "nobody sits on the cycle",
    "pedestrian.sitting_lying_down": "the person sits",
    "pedestrian.standing": "the person stands",
    "pedestrian.moving": "the person walks",
}
VISIBILITY = {"1": "0-40", "2": "40-60", "3": "60-80", "4": "80-100"}


def shared_tables() -> dict[str, list[Row]]:
    """The tables that do not depend on any scene."""
    return {
        "category": [
            {"token": token("category", name), "name": name, "description": f"A {name}.", "index": index}
            for index, name in enumerate(CATEGORY_NAMES, start=1)
        ],
        "attribute": [
            {"token": token("attribute", name), "name": name, "description": text}
            for name, text in ATTRIBUTES.items()
        ],
        "visibility": [
            {
                "token": key,
                "level": f"v{share}",
                "description": f"{share} % of the object's pixels are visible in the six cameras",
            }
            for key, share in VISIBILITY.items()
        ],
        "sensor": [
            {
                "token": token("sensor", channel),
                "channel": channel,
                "modality": "lidar" if channel == LIDAR else "camera",
            }
            for channel in (LIDAR, *MOUNTS)
        ],
    }


def calibration_row(scene: str, sensor: Sensor) -> Row:
    intrinsics = sensor.intrinsics_33
    return {
        "token": token(scene, "calibrated_sensor", sensor.channel),
        "sensor_token": token("sensor", sensor.channel),
        "translation": [float(value) for value in sensor.translation_3],
        "rotation": quaternion(sensor.rotation_33),
        "camera_intrinsic": []
        if intrinsics is None
        else [[float(value) for value in row] for row in intrinsics],
    }


def ego_row(data_token: str, timestamp: int, pose: Pose) -> Row:
    return {
        "token": data_token,
        "timestamp": timestamp,
        "rotation": ground_quaternion(pose),
        "translation": [float(value) for value in pose.translation_3],
    }


def data_row(
    scene: str,
    channel: str,
    timestamp: int,
    sample_token: str,
    filename: str,
    is_key: bool,
    size: tuple[int, int],
) -> Row:
    """A sample_data row; its ego pose has the same token, as in nuScenes."""
    data_token = token(scene, "sample_data", channel, timestamp)
    return {
        "token": data_token,
        "sample_token": sample_token,
        "ego_pose_token": data_token,
        "calibrated_sensor_token": token(scene, "calibrated_sensor", channel),
        "timestamp": timestamp,
        "fileformat": "pcd" if channel == LIDAR else "jpg",
        "is_key_frame": is_key,
        "height": size[0],
        "width": size[1],
        "filename": filename,
        "prev": "",
        "next": "",
    }


def sample_row(scene: str, sample_token: str, timestamp: int) -> Row:
    return {
        "token": sample_token,
        "timestamp": timestamp,
        "prev": "",
        "next": "",
        "scene_token": token(scene, "scene"),
    }


def annotation_row(scene: str, frame: int, instance: int, sample_token: str, actor: Actor, pose: Pose) -> Row:
    """The box of an object; the caller fills in attributes, LiDAR points and visibility."""
    length, width, height = actor.asset.size_lwh
    return {
        "token": token(scene, "annotation", frame, instance),
        "sample_token": sample_token,
        "instance_token": token(scene, "instance", instance),
        "attribute_tokens": [],
        "translation": [float(pose.translation_3[0]), float(pose.translation_3[1]), height / 2],
        "size": [width, length, height],
        "rotation": ground_quaternion(pose),
        "prev": "",
        "next": "",
        "num_lidar_pts": 0,
        "num_radar_pts": 0,
        "visibility_token": "",
    }


def link(rows: list[Row]) -> None:
    """Chain successive rows by their `prev` and `next` tokens."""
    for before, after in itertools.pairwise(rows):
        before["next"], after["prev"] = after["token"], before["token"]
