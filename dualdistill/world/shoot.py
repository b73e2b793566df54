"""Drive one scene and write what its sensors see: images, instance masks, clouds, and its share of the tables.

The scene's JSON is written last and whole: a scene that has one is finished.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dualdistill.spec import WorldSpec, sha_of
from dualdistill.storage import atomic_write
from dualdistill.world import background, camera, lidar, records, scene, visibility
from dualdistill.world.motion import Array
from dualdistill.world.records import Row, token
from dualdistill.world.scene import NOISE, Scene
from dualdistill.world.sensors import FRAME_S, LIDAR, MOUNTS, camera_rays, lidar_rays

REVISION = 1  # raise when the same spec makes a different world
FIRST_DAY_US = 1_735_725_600_000_000
ANNOTATED = 1.2  # objects are annotated up to this many LiDAR radii
MOVING_MPS = 0.2
MAP_PIXEL_M = 0.1
JPEG_QUALITY = 90


def fragment_path(root: Path, split: str, number: int) -> Path:
    return root / "scenes" / f"{split}-{number:04d}.json"


def fingerprint(spec: WorldSpec) -> str:
    """What a scene's content depends on, besides its split and number; other splits' sizes do not matter."""
    values = {key: value for key, value in asdict(spec).items() if not key.endswith("_scenes")}
    return sha_of({"revision": REVISION, **values})


class Shoot:
    """The state of one scene's recording."""

    def __init__(self, drawn: Scene, root: Path) -> None:
        self.scene, self.root, self.spec = drawn, root, drawn.spec
        self.tables: dict[str, list[Row]] = defaultdict(list)
        self.chains: dict[str, list[Row]] = defaultdict(list)
        self.annotations: dict[int, list[Row]] = defaultdict(list)
        self.counts: Counter[str] = Counter()
        self.silhouettes = visibility.Silhouettes(drawn.actors)
        day = scene.SPLITS.index(drawn.split) * 100_000 + drawn.number
        self.start_us = FIRST_DAY_US + day * 3_600_000_000
        size = self.spec.image_width, self.spec.image_height
        self.rays = {channel: camera_rays(drawn.sensors[channel], *size) for channel in MOUNTS}

    def run(self) -> dict[str, Any]:
        for frame in range(-1, self.spec.frames_per_scene):
            self._frame(frame)
        for chain in (*self.chains.values(), *self.annotations.values(), self.tables["sample"]):
            records.link(chain)
        self.tables["sample_data"] = sorted(
            (row for chain in self.chains.values() for row in chain),
            key=lambda row: (row["timestamp"], row["token"]),
        )
        self._describe()
        return {
            "fingerprint": fingerprint(self.spec),
            "name": self.scene.name,
            "counts": dict(sorted(self.counts.items())),
            "tables": self.tables,
        }

    def _moment(self, time: float) -> tuple[int, float]:
        """The timestamp, and exactly that time in seconds since the first key frame."""
        microseconds = round(time * 1e6)
        return self.start_us + microseconds, microseconds / 1e6

    def _frame(self, frame: int) -> None:
        """One key frame with the sweeps before it; frame -1 is the history of the first one."""
        spec, is_key = self.spec, frame >= 0
        sample_token = token(self.scene.name, "sample", max(frame, 0))
        per_frame = spec.sweeps_per_frame
        for sweep in range(1, per_frame + 1):
            last = sweep == per_frame
            if not is_key and not last:
                continue
            time = FRAME_S * (frame - 1 + sweep / per_frame)
            cloud = self._sweep(time, sample_token, is_key and last, (frame + 1) * per_frame + sweep)
        instances = {}
        for channel in MOUNTS:
            time = FRAME_S * frame - self.scene.sensors[channel].lead_s
            instances[channel] = self._photograph(channel, time, sample_token, is_key, frame + 1)
        if is_key:
            timestamp, _ = self._moment(FRAME_S * frame)
            self.tables["sample"].append(
                {
                    "token": sample_token,
                    "timestamp": timestamp,
                    "prev": "",
                    "next": "",
                    "scene_token": token(self.scene.name, "scene"),
                }
            )
            self._annotate(frame, sample_token, cloud, instances)

    def _file(self, channel: str, timestamp: int, is_key: bool, ending: str) -> str:
        folder = "samples" if is_key else "sweeps"
        return f"{folder}/{channel}/{self.scene.name}__{channel}__{timestamp}.{ending}"

    def _register(
        self, channel: str, time: float, sample_token: str, is_key: bool, filename: str, size: tuple[int, int]
    ) -> None:
        timestamp, exact = self._moment(time)
        row = records.data_row(self.scene.name, channel, timestamp, sample_token, filename, is_key, size)
        self.chains[channel].append(row)
        self.tables["ego_pose"].append(records.ego_row(row["token"], timestamp, self.scene.ego_pose(exact)))

    def _sweep(self, time: float, sample_token: str, is_key: bool, ordinal: int) -> lidar.Cloud:
        timestamp, exact = self._moment(time)
        drawn, spec = self.scene, self.spec
        rng = scene.generator(spec, drawn.split, drawn.number, NOISE, 0, ordinal)
        rays, rings = lidar_rays(spec, float(rng.random()))
        hits = drawn.look(exact, drawn.sensors[LIDAR], rays, reach=spec.radius_m)
        cloud = lidar.measure(hits, rays, rings, spec, rng)
        filename = self._file(LIDAR, timestamp, is_key, "pcd.bin")
        (self.root / filename).write_bytes(cloud.points_P5.tobytes())
        self._register(LIDAR, time, sample_token, is_key, filename, (0, 0))
        return cloud

    def _photograph(
        self, channel: str, time: float, sample_token: str, is_key: bool, ordinal: int
    ) -> NDArray[np.uint16]:
        timestamp, exact = self._moment(time)
        drawn, size = self.scene, (self.spec.image_height, self.spec.image_width)
        hits = drawn.look(exact, drawn.sensors[channel], self.rays[channel])
        stream = 1 + list(MOUNTS).index(channel)
        rng = scene.generator(self.spec, drawn.split, drawn.number, NOISE, stream, ordinal)
        filename = self._file(channel, timestamp, is_key, "jpg")
        image = Image.fromarray(camera.develop(hits, drawn.light, size, rng))
        image.save(self.root / filename, quality=JPEG_QUALITY)
        instances = hits.instance_N.reshape(size)
        mask = (self.root / mask_name(filename)).open("wb")
        with mask:
            Image.fromarray(instances).save(mask, format="PNG", compress_level=1)
        self._register(channel, time, sample_token, is_key, filename, size)
        return instances

    def _annotate(
        self, frame: int, sample_token: str, cloud: lidar.Cloud, instances: dict[str, NDArray[np.uint16]]
    ) -> None:
        """Boxes of everything in reach, with what the key frame's sensors saw of each."""
        time = FRAME_S * frame
        lidar_at = (self.scene.ego_pose(time) @ self.scene.sensors[LIDAR]).translation_3[:2]
        points = np.bincount(cloud.instance_P, minlength=len(self.scene.actors) + 1)
        for instance, actor in enumerate(self.scene.actors, start=1):
            xy, yaw = self.scene.place(instance, time)
            distance = float(np.hypot(*(xy - lidar_at)))
            if distance > ANNOTATED * self.spec.radius_m:
                continue
            share = self._visible_share(instance, time, instances)
            row = self._annotation(frame, sample_token, instance, xy, yaw)
            row |= {"num_lidar_pts": int(points[instance]), "visibility_token": visibility.level(share)}
            self.annotations[instance].append(row)
            self.tables["sample_annotation"].append(row)
            self.counts[f"{actor.asset.name}/annotated"] += 1
            if points[instance] > 0:
                self.counts[f"{actor.asset.name}/hit"] += 1

    def _visible_share(self, instance: int, time: float, instances: dict[str, NDArray[np.uint16]]) -> float:
        visible = possible = 0
        for channel, seen in instances.items():
            sensor = self.scene.sensors[channel]
            _, exact = self._moment(time - sensor.lead_s)
            pose = self.scene.ego_pose(exact) @ sensor
            place = self.scene.place(instance, exact)
            counted = self.silhouettes.count(instance, place, pose, sensor, self.rays[channel], seen)
            visible, possible = visible + counted[0], possible + counted[1]
        return visible / possible if possible else 0.0

    def _annotation(self, frame: int, sample_token: str, instance: int, xy: Array, yaw: float) -> Row:
        name, actor = self.scene.name, self.scene.actors[instance - 1]
        length, width, height = actor.asset.size_lwh
        attribute = self._attribute(instance, FRAME_S * frame)
        return {
            "token": token(name, "annotation", frame, instance),
            "sample_token": sample_token,
            "instance_token": token(name, "instance", instance),
            "attribute_tokens": [token("attribute", attribute)] if attribute else [],
            "translation": [float(xy[0]), float(xy[1]), height / 2],
            "size": [width, length, height],
            "rotation": [float(np.cos(yaw / 2)), 0.0, 0.0, float(np.sin(yaw / 2))],
            "prev": "",
            "next": "",
            "num_radar_pts": 0,
        }

    def _attribute(self, instance: int, time: float) -> str:
        actor = self.scene.actors[instance - 1]
        if not actor.at_rest or actor.at_rest.startswith("cycle"):
            return actor.at_rest
        around = actor.motion.distance(np.array([time - 0.1, time + 0.1]))
        if around[1] - around[0] > 0.2 * MOVING_MPS:
            return actor.at_rest.split(".")[0] + ".moving"
        return actor.at_rest

    def _describe(self) -> None:
        """The scene's own rows: scene, log, map, calibration, instances."""
        drawn, name = self.scene, self.scene.name
        samples, log_token = self.tables["sample"], token(self.scene.name, "log")
        moving = sum(actor.motion.moves for actor in drawn.actors)
        arms = {2: "straight street", 3: "T-junction", 4: "crossroads"}[len(drawn.town.arms)]
        self.tables["scene"].append(
            {
                "token": token(name, "scene"),
                "log_token": log_token,
                "nbr_samples": len(samples),
                "first_sample_token": samples[0]["token"],
                "last_sample_token": samples[-1]["token"],
                "name": name,
                "description": f"{drawn.light.name}, {arms}, {len(drawn.actors)} objects, {moving} of them moving",
            }
        )
        self.tables["log"].append(
            {
                "token": log_token,
                "logfile": name,
                "vehicle": "world",
                "date_captured": "2025-01-01",
                "location": f"town-{name}",
            }
        )
        filename = f"maps/{token(name, 'map')}.png"
        _draw_map(drawn).save(self.root / filename, compress_level=1)
        self.tables["map"].append(
            {
                "token": token(name, "map"),
                "log_tokens": [log_token],
                "category": "semantic_prior",
                "filename": filename,
            }
        )
        self.tables["calibrated_sensor"] = [
            records.calibration_row(name, sensor) for sensor in drawn.sensors.values()
        ]
        for instance, rows in sorted(self.annotations.items()):
            self.tables["instance"].append(
                {
                    "token": token(name, "instance", instance),
                    "category_token": token("category", drawn.actors[instance - 1].asset.category),
                    "nbr_annotations": len(rows),
                    "first_annotation_token": rows[0]["token"],
                    "last_annotation_token": rows[-1]["token"],
                }
            )


def mask_name(filename: str) -> str:
    """Where an image's instance mask lies: 16-bit, 0 background, i for the scene's i-th actor."""
    return "masks/" + filename.removesuffix(".jpg") + ".png"


def _draw_map(drawn: Scene) -> Image.Image:
    """The drivable area as the devkit's map mask: white on black, 0.1 m per pixel, y up."""
    pixels = round(drawn.map_size_m / MAP_PIXEL_M)
    image = Image.new("L", (pixels, pixels), 0)
    pen = ImageDraw.Draw(image)
    half = drawn.map_size_m / 2
    cosine, sine = np.cos(drawn.yaw), np.sin(drawn.yaw)
    for (x0, x1), (y0, y1) in background.drivable(drawn.town):
        corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        placed = corners @ np.array([[cosine, sine], [-sine, cosine]]) + half
        outline = [(float(x) / MAP_PIXEL_M, pixels - float(y) / MAP_PIXEL_M) for x, y in placed]
        pen.polygon(outline, fill=255)
    return image


def shoot(spec: WorldSpec, split: str, number: int, root: Path) -> None:
    """Make one scene's files; its JSON, written last, says that it is whole."""
    content = Shoot(scene.build(spec, split, number), root).run()
    atomic_write(fragment_path(root, split, number), json.dumps(content, sort_keys=True, allow_nan=False))
