"""Record one scene: images, instance masks, point clouds, and its rows of the tables.

The rows are written last, atomically, to the scene's JSON: a scene that has it is finished.
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
from dualdistill.world.scene.scene import Scene, first_frame, image_times, round_to_us, sweep_times
from dualdistill.world.sensors import camera, lidar
from dualdistill.world.sensors.rig import FRAME_S, LIDAR, MOUNTS, camera_rays, ground_pose, lidar_rays
from dualdistill.world.sensors.visibility import CameraView, visibility_level

REVISION = 10  # increase it when the same spec yields a different world
FIRST_DAY_US = 1_735_725_600_000_000
SCENE_SPACING_US = 600_000_000
JPEG_QUALITY = 90
# masks are uniform areas: the fastest compression is small enough
PNG: dict[str, Any] = {"compress_level": 1, "compress_type": zlib.Z_RLE}


def fragment_path(root: Path, split: str, number: int) -> Path:
    return root / "scenes" / f"{split}-{number:04d}.json"


def fingerprint(spec: WorldSpec) -> str:
    """Hash of what a scene's content depends on besides its split and number; excludes the splits' sizes."""
    values = {key: value for key, value in asdict(spec).items() if not key.endswith("_scenes")}
    return sha_of({"revision": REVISION, **values})


def record_scene(spec: WorldSpec, split: str, number: int, root: Path) -> None:
    """Write the files of one scene, its JSON last."""
    # the matrices are small: more threads would only wait for each other
    with threadpool_limits(1, user_api="blas"):
        content = SceneRecorder(draw_scene(spec, split, number), root).run()
    atomic_write(fragment_path(root, split, number), json.dumps(content, sort_keys=True, allow_nan=False))


class SceneRecorder:
    """Recorder of one scene, which writes the sensors' files and collects the rows of the tables."""

    def __init__(self, scene: Scene, root: Path) -> None:
        self.scene, self.root, self.spec = scene, root, scene.spec
        self.tables: dict[str, list[Row]] = defaultdict(list)
        self.chains: dict[str, list[Row]] = defaultdict(list)  # sample_data by channel
        self.annotations: dict[int, list[Row]] = defaultdict(list)  # by instance
        self.counts: Counter[str] = Counter()
        self.start_us = FIRST_DAY_US + (SPLITS.index(scene.split) * 10_000 + scene.number) * SCENE_SPACING_US
        size = self.spec.image_width, self.spec.image_height
        self.rays = {channel: camera_rays(scene.sensors[channel], *size) for channel in MOUNTS}

    def run(self) -> dict[str, Any]:
        for frame in range(first_frame(self.spec), self.spec.frames_per_scene):
            self._record_frame(frame)
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

    def _record_frame(self, frame: int) -> None:
        """Record a frame with the sweeps and images since the last; frame -1 is the lead-in of the first."""
        is_key = frame >= 0
        sample_token = token(self.scene.name, "sample", max(frame, 0))
        for time in sweep_times(self.spec, frame):
            cloud = self._record_sweep(time, sample_token, is_key and time == FRAME_S * frame)
        for time in image_times(self.spec, frame):
            at_key = is_key and time == FRAME_S * frame
            views = [self._record_camera(channel, time, sample_token, at_key) for channel in MOUNTS]
        if is_key:
            row = tables.sample_row(self.scene.name, sample_token, self._timestamp(FRAME_S * frame))
            self.tables["sample"].append(row)
            self._annotate(frame, sample_token, cloud, views)

    def _timestamp(self, time: float) -> int:
        return self.start_us + round(time * 1e6)

    def _noise_rng(self, channel: str, time: float) -> np.random.Generator:
        """Random stream for the noise of a sensor at an instant."""
        stream = (LIDAR, *MOUNTS).index(channel)
        instant = round((time + FRAME_S) * 1e6) + 1_000_000
        return scene_rng(self.spec, self.scene.split, self.scene.number, NOISE, stream, instant)

    def _add_sample_data(
        self, channel: str, time: float, sample_token: str, is_key: bool, size: tuple[int, int]
    ) -> str:
        """Add the rows of a sensor file and its ego pose; return the file's name."""
        timestamp, name = self._timestamp(time), self.scene.name
        folder, ending = "samples" if is_key else "sweeps", "pcd.bin" if channel == LIDAR else "jpg"
        filename = f"{folder}/{channel}/{name}__{channel}__{timestamp}.{ending}"
        row = tables.data_row(name, channel, timestamp, sample_token, filename, is_key, size)
        self.chains[channel].append(row)
        pose = self.scene.town_to_map @ self.scene.ego_pose(round_to_us(time))
        self.tables["ego_pose"].append(tables.ego_row(row["token"], timestamp, pose))
        return filename

    def _record_sweep(self, time: float, sample_token: str, is_key: bool) -> lidar.Cloud:
        rng = self._noise_rng(LIDAR, time)
        rays, rings = lidar_rays(self.spec, float(rng.random()))
        hits = self.scene.cast_rays(round_to_us(time), self.scene.sensors[LIDAR], rays)
        cloud = lidar.measure(hits, rays, rings, self.spec, rng, self.scene.weather)
        filename = self._add_sample_data(LIDAR, time, sample_token, is_key, (0, 0))
        (self.root / filename).write_bytes(cloud.points_P5.tobytes())
        return cloud

    def _record_camera(self, channel: str, end: float, sample_token: str, is_key: bool) -> CameraView:
        """Record an image that precedes the LiDAR sweep ending at `end`."""
        sensor, size = self.scene.sensors[channel], (self.spec.image_height, self.spec.image_width)
        time = round_to_us(end - sensor.lead_s)
        hits = self.scene.cast_rays(time, sensor, self.rays[channel])
        ego = self.scene.ego_pose(time)
        pixels = camera.render_image(hits, self.scene.light, ego, size, self._noise_rng(channel, time))
        filename = self._add_sample_data(channel, time, sample_token, is_key, size)
        Image.fromarray(pixels).save(self.root / filename, quality=JPEG_QUALITY)
        instances = hits.instance_N.reshape(size)
        Image.fromarray(instances).save(self.root / mask_name(filename), **PNG)
        return CameraView(sensor, ego @ sensor, time, self.rays[channel], instances)

    def _annotate(self, frame: int, sample_token: str, cloud: lidar.Cloud, views: list[CameraView]) -> None:
        """Annotate all objects in a square around the LiDAR that rotates with it, like a BEV grid."""
        time = FRAME_S * frame
        lidar_pose = self.scene.ego_pose(time) @ self.scene.sensors[LIDAR]
        returns = self._returns(time, cloud)
        for instance, actor in enumerate(self.scene.actors, start=1):
            xy, yaw = self.scene.place(instance, time)
            offset = (xy - lidar_pose.translation_3[:2]) @ lidar_pose.rotation_33[:2, :2]
            if np.abs(offset).max() > self.spec.radius_m:
                continue
            pose = self.scene.town_to_map @ ground_pose(xy, yaw)
            row = tables.annotation_row(self.scene.name, frame, instance, sample_token, actor, pose)
            row["attribute_tokens"] = [token("attribute", name) for name in actor.attributes(time)]
            row["num_lidar_pts"] = int(returns[instance])
            row["visibility_token"] = visibility_level(self.scene, instance, views)
            self.annotations[instance].append(row)
            self.tables["sample_annotation"].append(row)
            self.counts[f"{actor.asset.name}/annotated"] += 1
            self.counts[f"{actor.asset.name}/hit"] += int(returns[instance] > 0)

    def _returns(self, time: float, cloud: lidar.Cloud) -> NDArray[np.int64]:
        """LiDAR returns of each instance that lie in its box.

        A moving object may be hit before it reaches its box, which is placed as of the sweep's end.
        """
        counts = np.bincount(cloud.instance_P, minlength=len(self.scene.actors) + 1)
        pose = self.scene.ego_pose(time) @ self.scene.sensors[LIDAR]
        for instance, actor in enumerate(self.scene.actors, start=1):
            if actor.motion.moves and counts[instance]:
                points = cloud.points_P5[cloud.instance_P == instance, :3]
                xy, yaw = self.scene.place(instance, time)
                offset = (points @ pose.rotation_33.T + pose.translation_3)[:, :2] - xy
                inside = np.abs(offset @ rotation(yaw)[:2, :2]) <= np.array(actor.asset.size_lwh[:2]) / 2
                counts[instance] = inside.all(1).sum()
        return counts
