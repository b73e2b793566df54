"""LiDAR, cameras, masks and boxes are consistent with each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.data_classes import LidarPointCloud
from nuscenes.utils.geometry_utils import points_in_box, view_points
from PIL import Image
from pyquaternion import Quaternion

from dualdistill.config.nuscenes import CAMERAS
from dualdistill.config.world import WorldSpec
from dualdistill.world.geometry.raytrace import FAR_M
from dualdistill.world.nuscenes.names import mask_name, token
from dualdistill.world.scene.sample import draw_scene
from dualdistill.world.scene.scene import Scene
from dualdistill.world.sensors.rig import FRAME_S


@pytest.fixture(scope="module")
def scene(spec: WorldSpec) -> Scene:
    return draw_scene(spec, "world_val", 0)


def samples_of(nusc: NuScenes, name: str) -> list[dict]:
    row = next(row for row in nusc.scene if row["name"] == name)
    samples = [nusc.get("sample", row["first_sample_token"])]
    while samples[-1]["next"]:
        samples.append(nusc.get("sample", samples[-1]["next"]))
    return samples


def matrix(row: dict) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Quaternion(row["rotation"]).rotation_matrix
    pose[:3, 3] = row["translation"]
    return pose


def to_global(nusc: NuScenes, data_token: str) -> np.ndarray:
    data = nusc.get("sample_data", data_token)
    calibrated = nusc.get("calibrated_sensor", data["calibrated_sensor_token"])
    return matrix(nusc.get("ego_pose", data["ego_pose_token"])) @ matrix(calibrated)


def moved(transform_44: np.ndarray, points_3P: np.ndarray) -> np.ndarray:
    return transform_44[:3, :3] @ points_3P + transform_44[:3, 3:]


def cloud_of(nusc: NuScenes, sample: dict) -> np.ndarray:
    return LidarPointCloud.from_file(nusc.get_sample_data_path(sample["data"]["LIDAR_TOP"])).points


def on_movers(nusc: NuScenes, scene: Scene, sample: dict, frame: int) -> np.ndarray:
    """Mask of the LiDAR points of a frame that may lie on a moving object."""
    pose = scene.ego_pose(FRAME_S * frame) @ scene.sensors["LIDAR_TOP"]
    xy = (pose.rotation_33 @ cloud_of(nusc, sample)[:3])[:2] + pose.translation_3[:2, None]
    mask = np.zeros(xy.shape[1], dtype=bool)
    for instance, actor in enumerate(scene.actors, start=1):
        if actor.motion.moves:
            at, _ = scene.place(instance, FRAME_S * frame)
            mask |= np.hypot(*(xy - at[:, None])) < max(actor.asset.size_lwh) / 2 + 1.0
    return mask


@pytest.mark.parametrize("channel", CAMERAS)
def test_lidar_points_lie_on_the_surfaces_that_the_camera_sees(
    nusc: NuScenes, scene: Scene, spec: WorldSpec, channel: str
) -> None:
    """Rays through the points projected with the calibration tables hit the scene at the points' depths."""
    for frame, sample in enumerate(samples_of(nusc, scene.name)):
        data = nusc.get("sample_data", sample["data"][channel])
        between = np.linalg.inv(to_global(nusc, data["token"])) @ to_global(nusc, sample["data"]["LIDAR_TOP"])
        points = moved(between, cloud_of(nusc, sample)[:3])
        calibrated = nusc.get("calibrated_sensor", data["calibrated_sensor_token"])
        intrinsics = np.array(calibrated["camera_intrinsic"])
        pixels = view_points(points, intrinsics, normalize=True)
        seen = (points[2] > 1) & (pixels[0] > 0) & (pixels[0] < data["width"])
        seen &= (pixels[1] > 0) & (pixels[1] < data["height"])
        # points seen from the roof may be hidden from the lower camera, especially far away
        seen &= np.linalg.norm(points, axis=0) < spec.radius_m
        assert seen.sum() > 300
        time = FRAME_S * frame - scene.sensors[channel].lead_s
        rays = (np.linalg.inv(intrinsics) @ pixels[:, seen]).T.astype(np.float32)
        hits = scene.cast_rays(time, scene.sensors[channel], rays)
        # moving objects have moved between the instants of the two sensors
        stationary = (hits.instance_N == 0) & ~on_movers(nusc, scene, sample, frame)[seen]
        error = np.abs(hits.distance_N - points[2, seen])[stationary]
        assert np.median(error) < 1e-4
        assert np.mean(error < 0.02) > 0.85
        column, row = pixels[:2, seen].astype(int)
        relative_error = np.abs(scene.depth(channel, time)[row, column] / points[2, seen] - 1)[stationary]
        assert np.median(relative_error) < 0.03


def test_lidar_rings_ascend_and_points_lie_within_range(nusc: NuScenes, spec: WorldSpec) -> None:
    sweep = np.fromfile(nusc.get_sample_data_path(nusc.sample[0]["data"]["LIDAR_TOP"]), np.float32)
    x, y, z, intensity, ring = sweep.reshape(-1, 5).T
    assert np.sqrt(x**2 + y**2 + z**2).max() <= spec.lidar_reach_m + 1e-3
    assert intensity.min() >= 0
    assert 100 < intensity.max() <= 255
    elevation = np.arctan2(z, np.hypot(x, y))
    by_ring = [np.median(elevation[ring == beam]) for beam in np.unique(ring)]
    assert np.all(np.diff(by_ring) > 0)
    assert len(by_ring) > 20


def test_boxes_contain_the_points_they_count(nusc: NuScenes) -> None:
    exact = total = 0
    for sample in nusc.sample:
        points = cloud_of(nusc, sample)[:3]
        height = moved(to_global(nusc, sample["data"]["LIDAR_TOP"]), points)[2]
        _, boxes, _ = nusc.get_sample_data(sample["data"]["LIDAR_TOP"])
        for box in boxes:
            counted = nusc.get("sample_annotation", box.token)["num_lidar_pts"]
            inside = points_in_box(box, points, wlh_factor=1.0 + 1e-4)
            assert inside.sum() >= counted
            # ground points below an object lie in its box, too
            exact += bool((inside & (height > 0.02)).sum() <= counted)
            total += 1
    assert total > 100
    assert exact > 0.93 * total, "only a few boxes overlap (riders' and diggers' arms, trailers on tractors)"


def test_velocities_match_the_motion_of_the_actors(nusc: NuScenes, scene: Scene) -> None:
    moving = 0
    for frame, sample in enumerate(samples_of(nusc, scene.name)):
        for instance, actor in enumerate(scene.actors, start=1):
            name = token(scene.name, "annotation", frame, instance)
            row = next(
                (
                    row
                    for row in map(lambda t: nusc.get("sample_annotation", t), sample["anns"])
                    if row["token"] == name
                ),
                None,
            )
            if row is None or not (row["prev"] and row["next"]):
                continue
            after, before = (actor.motion.at([FRAME_S * (frame + step)])[0][0] for step in (1, -1))
            expected = scene.town_to_map.rotation_33[:2, :2] @ (after - before) / (2 * FRAME_S)
            assert np.allclose(nusc.box_velocity(name)[:2], expected, atol=1e-6)
            moving += bool(np.hypot(*expected) > 0.2)
    assert moving > 0


def test_moving_objects_head_in_their_direction_of_motion(nusc: NuScenes) -> None:
    cosines = []
    for row in nusc.sample_annotation:
        velocity = nusc.box_velocity(row["token"])[:2]
        if np.hypot(*velocity) > 1.0:
            ahead = Quaternion(row["rotation"]).rotation_matrix[:2, 0]
            cosines.append(ahead @ velocity / np.hypot(*velocity))
    assert len(cosines) > 20
    assert min(cosines) > 0.9


def test_masks_lie_within_their_boxes(nusc: NuScenes, root: Path, scene: Scene) -> None:
    """Only for stationary objects, so that the camera's earlier instant does not matter."""
    compared = 0
    for sample in samples_of(nusc, scene.name):
        for channel in CAMERAS:
            data = nusc.get("sample_data", sample["data"][channel])
            mask = np.array(Image.open(root / mask_name(data["filename"])))
            assert mask.shape == (data["height"], data["width"])
            _, boxes, intrinsics = nusc.get_sample_data(data["token"])
            ordinals = {token(scene.name, "instance", i + 1): i + 1 for i in range(len(scene.actors))}
            for box in boxes:
                instance = ordinals[nusc.get("sample_annotation", box.token)["instance_token"]]
                corners = box.corners()
                if scene.actors[instance - 1].motion.moves or corners[2].min() < 0.5:
                    continue
                low, high = np.sort(view_points(corners, intrinsics, normalize=True)[:2], axis=1)[
                    :, [0, -1]
                ].T
                rows, columns = np.nonzero(mask == instance)
                if len(rows) == 0:
                    continue
                assert columns.min() >= low[0] - 1
                assert columns.max() <= high[0] + 1
                assert rows.min() >= low[1] - 1
                assert rows.max() <= high[1] + 1
                compared += 1
    assert compared > 20


def test_visibility_is_high_with_many_lidar_points_and_low_without_any(nusc: NuScenes) -> None:
    exposed = [row for row in nusc.sample_annotation if row["num_lidar_pts"] > 40]
    hidden = [row for row in nusc.sample_annotation if row["num_lidar_pts"] == 0]
    assert np.mean([row["visibility_token"] == "4" for row in exposed]) > 0.5
    assert np.mean([row["visibility_token"] == "1" for row in hidden]) > 0.5


def test_depth_of_the_sky_is_far(scene: Scene) -> None:
    depth = scene.depth("CAM_FRONT", 0.0)
    assert depth[-1].max() < 30, "the bottom row shows the street before the car"
    assert depth.max() == FAR_M or depth.max() > 30
