"""Hand-made nuScenes tables with the fewest fields that the official evaluation reads.

All ten classes, two scenes, a car on a slope.

Written with pyquaternion and plain lists, so that no code of the suite is on both sides of a comparison.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyquaternion import Quaternion

from dualdistill.config.nuscenes import CLASSES

VERSION, SPLIT = "v1.0-hand", "hand_val"
SIZES_WLH = {
    "vehicle.car": (1.9, 4.6, 1.7),
    "vehicle.truck": (2.5, 7.0, 2.9),
    "vehicle.construction": (2.7, 6.4, 3.2),
    "vehicle.bus.rigid": (2.9, 11.0, 3.5),
    "vehicle.trailer": (2.9, 12.3, 3.9),
    "movable_object.barrier": (2.5, 0.5, 1.0),
    "vehicle.motorcycle": (0.8, 2.1, 1.5),
    "vehicle.bicycle": (0.6, 1.7, 1.3),
    "human.pedestrian.adult": (0.7, 0.6, 1.8),
    "movable_object.trafficcone": (0.4, 0.5, 1.1),
}
CATEGORY_OF = dict(zip(CLASSES, SIZES_WLH, strict=True))
RESTING = {"vehicle": "vehicle.parked", "cycle": "cycle.without_rider", "human": "pedestrian.standing"}
GOING = {"vehicle": "vehicle.moving", "cycle": "cycle.with_rider", "human": "pedestrian.moving"}
FRAMES, INTERVAL_S = 3, 0.5


@dataclass(frozen=True)
class Tables:
    root: Path
    version: str
    split: str
    rows: dict[str, list[dict[str, Any]]]

    @property
    def tokens(self) -> list[str]:
        return [row["token"] for row in self.rows["sample"] if row["scene_token"] == "scene-val"]

    def ground_truth(self) -> dict[str, list[dict[str, Any]]]:
        """The split's annotations as results entries, with the velocities the tables imply.

        All scores differ: among ties the devkit does not average, it uses the errors of a single box.
        """
        attributes = {row["token"]: row["name"] for row in self.rows["attribute"]}
        results: dict[str, list[dict[str, Any]]] = {token: [] for token in self.tokens}
        for number, row in enumerate(self.rows["sample_annotation"]):
            if row["sample_token"] in results:
                results[row["sample_token"]].append(
                    {
                        "sample_token": row["sample_token"],
                        "translation": list(row["translation"]),
                        "size": list(row["size"]),
                        "rotation": list(row["rotation"]),
                        "velocity": list(row["_velocity"]),
                        "detection_name": row["_class"],
                        "detection_score": 1.0 - number / 1000,
                        "attribute_name": attributes[row["attribute_tokens"][0]]
                        if row["attribute_tokens"]
                        else "",
                    }
                )
        return results

    def document(self) -> dict[str, Any]:
        flags = ("use_camera", "use_lidar", "use_radar", "use_map", "use_external")
        # through JSON, as from a file: plain floats
        return json.loads(json.dumps({"meta": dict.fromkeys(flags, False), "results": self.ground_truth()}))


def pose(sample: int) -> tuple[list[float], Quaternion]:
    """Position and attitude of the car: turning, on a slope."""
    turn = Quaternion(axis=(0, 0, 1), radians=0.4 + 0.1 * sample) * Quaternion(axis=(1, 0, 0), radians=0.02)
    return [400.0 + 3.0 * sample, 900.0 + sample, 1.5], turn


MOUNT = ([0.94, 0.0, 1.84], Quaternion(axis=(0, 0, 1), radians=-math.pi / 2))


def attribute_of(category: str, moving: bool) -> list[str]:
    kind = category.split(".")[0]
    kind = "cycle" if category.endswith("cycle") else kind
    if category == "vehicle.bus.rigid" and not moving:
        return ["vehicle.stopped"]
    return [(GOING if moving else RESTING)[kind]] if kind in RESTING or kind == "cycle" else []


def annotations(scene: str) -> list[dict[str, Any]]:
    rows = []
    for number, name in enumerate(CATEGORY_OF):
        category = CATEGORY_OF[name]
        for twin in range(2):
            moving = twin == 0 and category not in ("movable_object.barrier", "movable_object.trafficcone")
            heading = 0.3 + 0.55 * number + 2.0 * twin
            speed = 2.0 if moving else 0.0
            velocity = (speed * math.cos(heading), speed * math.sin(heading))
            angle = 2 * math.pi * number / 10 + 0.2
            radius = 12.0 + 12.0 * twin
            for frame in range(FRAMES):
                time = frame * INTERVAL_S
                centre = pose(1)[0]
                rows.append(
                    {
                        "token": f"{scene}-{name}-{twin}-{frame}",
                        "sample_token": f"{scene}-{frame}",
                        "instance_token": f"{scene}-{name}-{twin}",
                        "attribute_tokens": attribute_of(category, moving),
                        "visibility_token": "4",
                        "translation": [
                            centre[0] + radius * math.cos(angle) + velocity[0] * time,
                            centre[1] + radius * math.sin(angle) + velocity[1] * time,
                            1.0 + 0.1 * number,
                        ],
                        "size": list(SIZES_WLH[category]),
                        "rotation": list(Quaternion(axis=(0, 0, 1), radians=heading)),
                        "num_lidar_pts": 5,
                        "num_radar_pts": 0,
                        "prev": f"{scene}-{name}-{twin}-{frame - 1}" if frame else "",
                        "next": f"{scene}-{name}-{twin}-{frame + 1}" if frame + 1 < FRAMES else "",
                        "_class": name,
                        "_velocity": velocity,
                    }
                )
    return rows


def all_tables() -> dict[str, list[dict[str, Any]]]:
    scenes = ("scene-train", "scene-val")
    samples = [(scene, frame) for scene in scenes for frame in range(FRAMES)]
    notes = [row for scene in scenes for row in annotations(scene)]
    names = sorted({"vehicle.stopped", *RESTING.values(), *GOING.values()})
    poses = {(scene, frame): pose(frame) for scene, frame in samples}
    return {
        "category": [{"token": name, "name": name} for name in SIZES_WLH],
        "attribute": [{"token": name, "name": name} for name in names],
        "visibility": [{"token": "4", "level": "v80-100"}],
        "instance": [
            {"token": token, "category_token": CATEGORY_OF[token.split("-")[2]]}
            for token in sorted({row["instance_token"] for row in notes})
        ],
        "sensor": [{"token": "lidar", "channel": "LIDAR_TOP", "modality": "lidar"}],
        "calibrated_sensor": [
            {"token": "mount", "sensor_token": "lidar", "translation": MOUNT[0], "rotation": list(MOUNT[1])}
        ],
        "ego_pose": [
            {"token": f"{scene}-{frame}", "translation": where, "rotation": list(turn)}
            for (scene, frame), (where, turn) in poses.items()
        ],
        "log": [{"token": "log", "logfile": "", "vehicle": "", "date_captured": "", "location": "nowhere"}],
        "scene": [{"token": scene, "name": scene} for scene in scenes],
        "sample": [
            {"token": f"{scene}-{frame}", "timestamp": int(1e6 * INTERVAL_S * frame), "scene_token": scene}
            for scene, frame in samples
        ],
        "sample_data": [
            {
                "token": f"data-{scene}-{frame}",
                "sample_token": f"{scene}-{frame}",
                "ego_pose_token": f"{scene}-{frame}",
                "calibrated_sensor_token": "mount",
                "is_key_frame": True,
            }
            for scene, frame in samples
        ],
        "sample_annotation": notes,
        "map": [{"token": "map", "log_tokens": ["log"], "filename": "maps/empty.png", "category": "none"}],
    }


def write_tables(root: Path) -> Tables:
    rows = all_tables()
    (root / VERSION).mkdir()
    (root / "maps").mkdir()
    (root / "maps" / "empty.png").touch()
    for name, content in rows.items():
        (root / VERSION / f"{name}.json").write_text(json.dumps(content))
    splits = {"hand_train": ["scene-train"], SPLIT: ["scene-val"], "hand_none": []}
    (root / VERSION / "splits.json").write_text(json.dumps(splits))
    return Tables(root, VERSION, SPLIT, rows)
