"""Random nuScenes tables and random results files, with everything that makes an evaluation hard.

Bicycle racks, boxes without points, single annotations (their velocity is NaN), missing attributes, classes
that are annotated and not predicted or the reverse; on a grid also equal scores and equal distances. Its
step has no exact binary form and its origin is that of the map, so that distances are equal up to rounding.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hand_tables import CATEGORY_OF, SIZES_WLH

from dualdistill.config.nuscenes import ATTRIBUTE_NAMES, ATTRIBUTES, CLASSES
from dualdistill.evaluation.results_format import FLAGS

RACK = "static_object.bicycle_rack"
OTHER = "animal"
EGO, STEP = np.array([410.0, 1180.0, 0.5]), 0.3
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Shape:
    """Size of a random root and its results."""

    scenes: int = 3
    frames: int = 3
    boxes: int = 12
    predicted: int = 20
    grid: bool = False
    annotated: tuple[str, ...] = CLASSES
    detected: tuple[str, ...] = CLASSES


class RandomRoot:
    """A root in which every scene is a sample sequence of its own, and a document of predictions."""

    def __init__(self, folder: Path, seed: int, shape: Shape, version: str, scenes: list[str]) -> None:
        self.root, self.version, self.scenes, self.shape = folder, version, scenes, shape
        self.random = np.random.default_rng(seed)
        self.tokens = [f"{scene}-{frame}" for scene in scenes for frame in range(shape.frames)]
        # the table's order is neither that of scenes nor that of time
        self.tokens = [self.tokens[place] for place in self.random.permutation(len(self.tokens))]
        self.places = {
            token: [0, 0, 0] if shape.grid else (EGO + self.random.uniform(-3, 3, 3)).tolist()
            for token in self.tokens
        }
        self.annotations: Rows = []
        for scene in scenes:
            self._annotate(scene)
        self.document = {
            "meta": dict.fromkeys(FLAGS, False),
            "results": {token: self._predict(token) for token in self.tokens},
        }

    def write(self, splits: dict[str, list[str]]) -> None:
        (self.root / self.version).mkdir(parents=True, exist_ok=True)
        (self.root / "maps").mkdir(exist_ok=True)
        (self.root / "maps" / "empty.png").touch()
        for name, rows in (self._tables() | {"splits": splits}).items():
            (self.root / self.version / f"{name}.json").write_text(json.dumps(rows))

    def results(self, scenes: list[str] | None = None) -> dict[str, Any]:
        """The document, or the part of it for some scenes."""
        chosen = {
            token: boxes
            for token, boxes in self.document["results"].items()
            if scenes is None or token.rpartition("-")[0] in scenes
        }
        return self.document | {"results": chosen}

    def _place(self, reach: float = 45.0) -> list[float]:
        place = self.random.uniform(-reach, reach, 3) * (1, 1, 0.02)
        return (np.round(place) * STEP if self.shape.grid else EGO + place).tolist()

    def _rotation(self) -> list[float]:
        wxyz = self.random.normal(size=4) * (1, 0.1, 0.1, 1)
        return (wxyz / np.linalg.norm(wxyz)).tolist()

    def _annotate(self, scene: str) -> None:
        categories = [CATEGORY_OF[name] for name in self.shape.annotated] + [RACK, OTHER]
        for number in range(self.shape.boxes):
            category = str(self.random.choice(categories))
            first = int(self.random.integers(self.shape.frames))
            last = int(self.random.integers(first, self.shape.frames))
            for frame in range(first, last + 1):
                self.annotations.append(
                    {
                        "token": f"{scene}-{number}-{frame}",
                        "sample_token": f"{scene}-{frame}",
                        "instance_token": f"{category}/{scene}/{number}",
                        "attribute_tokens": self._attributes(category),
                        "translation": self._place(),
                        "size": self._size(category),
                        "rotation": self._rotation(),
                        "num_lidar_pts": int(self.random.integers(4)),
                        "num_radar_pts": int(self.random.integers(2)),
                        "prev": f"{scene}-{number}-{frame - 1}" if frame > first else "",
                        "next": f"{scene}-{number}-{frame + 1}" if frame < last else "",
                    }
                )

    def _attributes(self, category: str) -> list[str]:
        names = [name for name in CLASSES if CATEGORY_OF[name] == category]
        allowed = ATTRIBUTES[names[0]] if names else ()
        return [str(self.random.choice(allowed))] if allowed and self.random.random() < 0.8 else []

    def _size(self, category: str) -> list[float]:
        mean = SIZES_WLH.get(category, (8.0, 8.0, 4.0))
        return (np.array(mean) * self.random.uniform(0.7, 1.4, 3)).tolist()

    def _predict(self, token: str) -> Rows:
        near = [row for row in self.annotations if row["sample_token"] == token]
        boxes = []
        for _ in range(int(self.random.integers(self.shape.predicted + 1)) if self.shape.predicted else 0):
            row = near[self.random.integers(len(near))] if near and self.random.random() < 0.7 else None
            name = str(self.random.choice(self.shape.detected))
            score = float(
                self.random.choice([0.0, 0.25, 0.5, 1.0]) if self.shape.grid else self.random.random()
            )
            boxes.append(
                {
                    "sample_token": token,
                    "translation": self._beside(row) if row else self._place(70.0),
                    "size": self._size(CATEGORY_OF[name]),
                    "rotation": row["rotation"] if row and self.random.random() < 0.5 else self._rotation(),
                    "velocity": self.random.normal(size=2).tolist(),
                    "detection_name": name,
                    "detection_score": score,
                    "attribute_name": str(self.random.choice(["", *ATTRIBUTES[name]])),
                }
            )
            if row and row["instance_token"].split("/")[0] in (kind := list(CATEGORY_OF.values())):
                fitting = CLASSES[kind.index(row["instance_token"].split("/")[0])]
                if fitting in self.shape.detected:
                    boxes[-1] |= {"detection_name": fitting, "attribute_name": ""}
        return boxes

    def _beside(self, row: dict[str, Any]) -> list[float]:
        place = np.array(row["translation"])
        if self.shape.grid:
            return ((np.round(place / STEP) + self.random.integers(-4, 5, 3)) * STEP).tolist()
        return (place + self.random.normal(size=3)).tolist()

    def _tables(self) -> dict[str, Any]:
        categories = [*SIZES_WLH, RACK, OTHER]
        instances = dict.fromkeys(row["instance_token"] for row in self.annotations)
        return {
            "category": [{"token": name, "name": name} for name in categories],
            "attribute": [{"token": name, "name": name} for name in ATTRIBUTE_NAMES],
            "visibility": [{"token": "4", "level": "v80-100"}],
            "instance": [{"token": name, "category_token": name.split("/")[0]} for name in instances],
            "sensor": [{"token": "lidar", "channel": "LIDAR_TOP", "modality": "lidar"}],
            "calibrated_sensor": [
                {
                    "token": "mount",
                    "sensor_token": "lidar",
                    "translation": [0, 0, 2],
                    "rotation": [1, 0, 0, 0],
                }
            ],
            "ego_pose": [
                {"token": token, "translation": place, "rotation": [1, 0, 0, 0]}
                for token, place in self.places.items()
            ],
            "log": [{"token": "log", "logfile": ""}],
            "scene": [{"token": scene, "name": scene} for scene in self.scenes],
            "sample": [
                {
                    "token": token,
                    "timestamp": 600_000 * int(token.rpartition("-")[2]),
                    "scene_token": token.rpartition("-")[0],
                }
                for token in self.tokens
            ],
            "sample_data": [
                {
                    "token": f"data-{token}",
                    "sample_token": token,
                    "ego_pose_token": token,
                    "calibrated_sensor_token": "mount",
                    "is_key_frame": True,
                }
                for token in self.tokens
            ],
            "sample_annotation": self.annotations,
            "map": [{"token": "map", "log_tokens": ["log"], "filename": "maps/empty.png"}],
        }
