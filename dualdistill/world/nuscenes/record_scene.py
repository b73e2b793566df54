"""Drive one scene and write what its sensors see: images, masks, clouds, and its share of the tables.

The scene's JSON is written last and whole: a scene that has one is finished.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter, defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from threadpoolctl import threadpool_limits

from dualdistill.config.world import WorldSpec
from dualdistill.store.files import atomic_write, sha_of
from dualdistill.world.geometry.mesh import rotation
from dualdistill.world.nuscenes import describe, tables
from dualdistill.world.nuscenes.names import mask_name, token
from dualdistill.world.nuscenes.tables import Row
from dualdistill.world.scene.sample import NOISE, SPLITS, draw_scene, scene_rng
from dualdistill.world.scene.scene import Scene, sweep_times, to_microseconds
from dualdistill.world.sensors import camera, lidar
from dualdistill.world.sensors.rig import FRAME_S, LIDAR, MOUNTS, camera_rays, ground_pose, lidar_rays
from dualdistill.world.sensors.visibility import CameraView, Silhouettes

REVISION = 10  # raise when the same spec makes a different world
FIRST_DAY_US = 1_735_725_600_000_000
SCENE_APART_US = 600_000_000
JPEG_QUALITY = 90
PNG: dict[str, Any] = {
    "compress_level": 1,
    "compress_type": zlib.Z_RLE,
}  # even areas: the quickest is small enough


def fragment_path(root: Path, split: str, number: int) -> Path:
    return root / "scenes" / f"{split}-{number:04d}.json"


def fingerprint(spec: WorldSpec) -> str:
    """What a scene's content depends on, besides its split and number; the splits' sizes do not matter."""
    values = {key: value for key, value in asdict(spec).items() if not key.endswith("_scenes")}
    return sha_of({"revision": REVISION, **values})


def record_scene(spec: WorldSpec, split: str, number: int, root: Path) -> None:
    """Make one scene's files; its JSON, written last, says that they are all there."""
    # the matrices are small: more threads would only wait for each other
    with threadpool_limits(1, user_api="blas"):
        content = SceneRecorder(draw_scene(spec, split, number), root).run()
    atomic_write(fragment_path(root, split, number), json.dumps(content, sort_keys=True, allow_nan=False))


class SceneRecorder:
    """The recording of one scene: rows of the tables as they come."""

    def __init__(self, scene: Scene, root: Path) -> None:
        self.scene, self.root, self.spec = scene, root, scene.spec
        self.tables: dict[str, list[Row]] = defaultdict(list)
        self.chains: dict[str, list[Row]] = defaultdict(list)  # sample_data by channel
        self.annotations: dict[int, list[Row]] = defaultdict(list)  # by instance
        self.counts: Counter[str] = Counter()
        self.silhouettes = Silhouettes(scene)
        self.start_us = FIRST_DAY_US + (SPLITS.index(scene.split) * 10_000 + scene.number) * SCENE_APART_US
        size = self.spec.image_width, self.spec.image_height
        self.rays = {channel: camera_rays(scene.sensors[channel], *size) for channel in MOUNTS}

    def run(self) -> dict[str, Any]:
        for frame in range(-1, self.spec.frames_per_scene):
            self._frame(frame)
        for chain in (*self.chains.values(), *self.annotations.values(), self.tables["sample"]):
            tables.link(chain)
        data = (row for chain in self.chains.values() for row in chain)
        self.tables["sample_data"] = sorted(data, key=lambda row: (row["timestamp"], row["token"]))
        self.tables |= describe.scene_tables(self.scene, self.tables["sample"], self.annotations)
        describe.draw_map(self.scene).save(self.root / self.tables["map"][0]["filename"], **PNG)
        return {
            "fingerprint": fingerprint(self.spec),
            "name": self.scene.name,
            "counts": dict(sorted(self.counts.items())),
            "tables": self.tables,
        }

    def _frame(self, frame: int) -> None:
        """One key frame with the sweeps before it; frame -1 is the history of the first one."""
        is_key = frame >= 0
        sample_token = token(self.scene.name, "sample", max(frame, 0))
        for time in sweep_times(self.spec, frame):
            cloud = self._record_sweep(time, sample_token, is_key and time == FRAME_S * frame)
        views = [self._record_camera(channel, frame, sample_token) for channel in MOUNTS]
        if is_key:
            row = tables.sample_row(self.scene.name, sample_token, self._timestamp(FRAME_S * frame))
            self.tables["sample"].append(row)
            self._annotate(frame, sample_token, cloud, views)

    def _timestamp(self, time: float) -> int:
        return self.start_us + round(time * 1e6)

    def _generator(self, channel: str, time: float) -> np.random.Generator:
        """A sensor's own noise at an instant."""
        stream = (LIDAR, *MOUNTS).index(channel)
        instant = round((time + FRAME_S) * 1e6) + 1_000_000
        return scene_rng(self.spec, self.scene.split, self.scene.number, NOISE, stream, instant)

    def _add_sample_data(
        self, channel: str, time: float, sample_token: str, is_key: bool, size: tuple[int, int]
    ) -> str:
        """Note a file of a sensor in the tables; its name."""
        timestamp, name = self._timestamp(time), self.scene.name
        folder, ending = "samples" if is_key else "sweeps", "pcd.bin" if channel == LIDAR else "jpg"
        filename = f"{folder}/{channel}/{name}__{channel}__{timestamp}.{ending}"
        row = tables.data_row(name, channel, timestamp, sample_token, filename, is_key, size)
        self.chains[channel].append(row)
        pose = self.scene.town_to_map @ self.scene.ego_pose(to_microseconds(time))
        self.tables["ego_pose"].append(tables.ego_row(row["token"], timestamp, pose))
        return filename

    def _record_sweep(self, time: float, sample_token: str, is_key: bool) -> lidar.Cloud:
        rng = self._generator(LIDAR, time)
        rays, rings = lidar_rays(self.spec, float(rng.random()))
        hits = self.scene.cast_rays(to_microseconds(time), self.scene.sensors[LIDAR], rays)
        cloud = lidar.measure(hits, rays, rings, self.spec, rng, self.scene.weather)
        filename = self._add_sample_data(LIDAR, time, sample_token, is_key, (0, 0))
        (self.root / filename).write_bytes(cloud.points_P5.tobytes())
        return cloud

    def _record_camera(self, channel: str, frame: int, sample_token: str) -> CameraView:
        sensor, size = self.scene.sensors[channel], (self.spec.image_height, self.spec.image_width)
        time = to_microseconds(FRAME_S * frame - sensor.lead_s)
        hits = self.scene.cast_rays(time, sensor, self.rays[channel])
        ego = self.scene.ego_pose(time)
        pixels = camera.render_image(hits, self.scene.light, ego, size, self._generator(channel, time))
        filename = self._add_sample_data(channel, time, sample_token, frame >= 0, size)
        Image.fromarray(pixels).save(self.root / filename, quality=JPEG_QUALITY)
        instances = hits.instance_N.reshape(size)
        Image.fromarray(instances).save(self.root / mask_name(filename), **PNG)
        return CameraView(sensor, ego @ sensor, time, self.rays[channel], instances)

    def _annotate(self, frame: int, sample_token: str, cloud: lidar.Cloud, views: list[CameraView]) -> None:
        """Boxes of everything in reach, with what the key frame's sensors saw of each.

        Reach is a square around the LiDAR that turns with it, like a BEV grid.
        """
        time = FRAME_S * frame
        lidar_pose = self.scene.ego_pose(time) @ self.scene.sensors[LIDAR]
        returns = self._returns(time, cloud)
        for instance, actor in enumerate(self.scene.actors, start=1):
            xy, yaw = self.scene.place(instance, time)
            away = (xy - lidar_pose.translation_3[:2]) @ lidar_pose.rotation_33[:2, :2]
            if np.abs(away).max() > self.spec.radius_m:
                continue
            pose = self.scene.town_to_map @ ground_pose(xy, yaw)
            row = tables.annotation_row(self.scene.name, frame, instance, sample_token, actor, pose)
            row["attribute_tokens"] = [token("attribute", name) for name in actor.attributes(time)]
            row["num_lidar_pts"] = int(returns[instance])
            row["visibility_token"] = self.silhouettes.level(instance, views)
            self.annotations[instance].append(row)
            self.tables["sample_annotation"].append(row)
            self.counts[f"{actor.asset.name}/annotated"] += 1
            self.counts[f"{actor.asset.name}/hit"] += int(returns[instance] > 0)

    def _returns(self, time: float, cloud: lidar.Cloud) -> NDArray[np.int64]:
        """LiDAR returns in each object's box, which what moves had not reached yet when the LiDAR met it."""
        counted = np.bincount(cloud.instance_P, minlength=len(self.scene.actors) + 1)
        pose = self.scene.ego_pose(time) @ self.scene.sensors[LIDAR]
        for instance, actor in enumerate(self.scene.actors, start=1):
            if actor.motion.moves and counted[instance]:
                met = cloud.points_P5[cloud.instance_P == instance, :3]
                xy, yaw = self.scene.place(instance, time)
                own = (met @ pose.rotation_33.T + pose.translation_3)[:, :2] - xy
                inside = np.abs(own @ rotation(yaw)[:2, :2]) <= np.array(actor.asset.size_lwh[:2]) / 2
                counted[instance] = inside.all(1).sum()
        return counted
