"""The sensor rig: six cameras and a LiDAR, mounted and timed as in nuScenes.

Poses map a sensor's coordinates to the ego frame: x forward, y left, z up, origin on the ground below the
rear axle. Cameras look along z, x right, y down; pixel (0, 0) spans 0 to 1, its centre is (0.5, 0.5).
LIDAR_TOP has x right, y forward, z up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyquaternion import Quaternion

from dualdistill.config.nuscenes import LIDAR
from dualdistill.config.world import WorldSpec
from dualdistill.world.geometry.mesh import AXIS_X, AXIS_Y, Floats, rotation
from dualdistill.world.geometry.motion import Array

FRAME_S = 0.5  # between key frames
REVOLUTION_S = 0.05  # duration of a LiDAR revolution, which ends at the sweep's timestamp
AHEAD_S = 0.035  # time before the end of a revolution at which the LiDAR points straight ahead
NEAR_M = 0.1  # near plane of the cameras
WIDER_HALF = 1.05  # of an image, relative to the half left of the principal point; an upper bound
LIDAR_AT = (0.94, 0.0, 1.84)
ELEVATIONS_DEG = (-30.67, 10.67)
# width and height of nuScenes images; ours are scaled by the width and, if lower, cropped at the top
SOURCE_SIZE = (1600.0, 900.0)
# channel: position, heading in degrees, focal length in nuScenes pixels, seconds of lead over the LiDAR
MOUNTS: dict[str, tuple[tuple[float, float, float], float, float, float]] = {
    "CAM_FRONT": ((1.70, 0.016, 1.51), 0.0, 1266.0, 0.035),
    "CAM_FRONT_RIGHT": ((1.55, -0.493, 1.50), -56.4, 1261.0, 0.028),
    "CAM_BACK_RIGHT": ((1.01, -0.481, 1.56), -110.8, 1259.0, 0.020),
    "CAM_BACK": ((0.03, 0.003, 1.58), 180.0, 809.0, 0.010),
    "CAM_BACK_LEFT": ((1.04, 0.485, 1.59), 108.6, 1257.0, 0.001),
    "CAM_FRONT_LEFT": ((1.52, 0.495, 1.51), 55.1, 1273.0, 0.043),
}
PRINCIPAL_POINT = (816.0, 491.0)
# columns: camera axes (right, down, ahead) of a camera that looks along +x
CAMERA_AXES = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True)
class Sensor:
    channel: str
    rotation_33: Array  # sensor -> ego
    translation_3: Array
    lead_s: float  # time by which it precedes the LiDAR's timestamp
    intrinsics_33: Array | None = None


@dataclass(frozen=True)
class Pose:
    """Rigid transform from one frame to another."""

    rotation_33: Array
    translation_3: Array

    def __matmul__(self, inner: Sensor | Pose) -> Pose:
        shifted = self.rotation_33 @ inner.translation_3 + self.translation_3
        return Pose(self.rotation_33 @ inner.rotation_33, shifted)


def ground_pose(xy: Array | tuple[float, float], yaw: float) -> Pose:
    return Pose(rotation(yaw), np.array([xy[0], xy[1], 0.0]))


def quaternion(rotation_33: Array) -> list[float]:
    """Quaternion (w, x, y, z) with w >= 0."""
    wxyz = Quaternion(matrix=rotation_33, atol=1e-6).elements
    return [float(value) for value in (wxyz if wxyz[0] >= 0 else -wxyz)]


def ground_quaternion(pose: Pose) -> list[float]:
    """Quaternion of a pose that only has a yaw; a hundred times faster than `quaternion`."""
    half_yaw = np.arctan2(pose.rotation_33[1, 0], pose.rotation_33[0, 0]) / 2
    return [float(np.cos(half_yaw)), 0.0, 0.0, float(np.sin(half_yaw))]


def make_rig(rng: np.random.Generator, spec: WorldSpec) -> dict[str, Sensor]:
    """The sensors of one log: fixed mounts with a random calibration error."""
    sensors = {LIDAR: Sensor(LIDAR, rotation(-np.pi / 2), np.array(LIDAR_AT), 0.0)}
    scale = spec.image_width / SOURCE_SIZE[0]
    cropped = scale * SOURCE_SIZE[1] - spec.image_height  # rows at the top
    for channel, (at, heading_deg, focal, lead_s) in MOUNTS.items():
        wobble = np.deg2rad(rng.normal(0, 0.4, 3).clip(-1, 1))
        rotation_33 = (
            rotation(np.deg2rad(heading_deg) + wobble[2])
            @ rotation(wobble[1], AXIS_Y)
            @ rotation(wobble[0], AXIS_X)
            @ CAMERA_AXES
        )
        focal *= 1 + float(rng.normal(0, 0.004))
        centre = np.array(PRINCIPAL_POINT) + rng.normal(0, 4, 2)
        x, y = scale * centre - (0.0, cropped)
        intrinsics = np.array([[focal * scale, 0, x], [0, focal * scale, y], [0, 0, 1]])
        position = np.array(at) + rng.normal(0, 0.01, 3)
        sensors[channel] = Sensor(channel, rotation_33, position, lead_s, intrinsics)
    return sensors


def outside_view_m(points_3: Array, sensor: Sensor) -> Array:
    """Metres by which points in camera coordinates lie beside the field of view; negative inside."""
    assert sensor.intrinsics_33 is not None
    focal, centre = sensor.intrinsics_33[0, 0], sensor.intrinsics_33[0, 2]
    slope = WIDER_HALF * centre / focal
    return (np.abs(points_3[..., 0]) - slope * points_3[..., 2]) / np.sqrt(1 + slope**2)


def image_window(
    corners_K3: Array, pose: Pose, sensor: Sensor, size: tuple[int, int]
) -> tuple[slice, slice] | None:
    """Rows and columns that bound a box in an image (height, width); None if it is out of view."""
    assert sensor.intrinsics_33 is not None
    points = (corners_K3 - pose.translation_3) @ pose.rotation_33
    height, width = size
    in_front = points[:, 2] >= NEAR_M
    if not in_front.any():
        return None
    if not in_front.all():  # clip at the near plane
        front, behind = points[in_front][:, None], points[~in_front]
        share = (front[..., 2:] - NEAR_M) / (front[..., 2:] - behind[..., 2:])
        points = np.concatenate([points[in_front], (front + share * (behind - front)).reshape(-1, 3)])
    pixels = points @ sensor.intrinsics_33.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    left, top = np.floor(np.clip(pixels.min(0), 0, (width, height))).astype(int)
    right, bottom = np.ceil(np.clip(pixels.max(0), 0, (width, height))).astype(int)
    return None if left >= right or top >= bottom else (slice(top, bottom), slice(left, right))


def camera_rays(sensor: Sensor, width: int, height: int) -> Floats:
    """Rays through the pixel centres, row by row, in camera coordinates; z = 1: ray lengths are depths."""
    assert sensor.intrinsics_33 is not None
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    pixels = np.stack([columns, rows, np.ones_like(columns)], -1).reshape(-1, 3)
    return (pixels @ np.linalg.inv(sensor.intrinsics_33).T).astype(np.float32)


def lidar_rays(spec: WorldSpec, phase: float) -> tuple[Floats, NDArray[np.float32]]:
    """Unit rays of one revolution in LiDAR coordinates, azimuth by azimuth, and their rings (0: lowest)."""
    elevation = np.deg2rad(np.linspace(*ELEVATIONS_DEG, spec.lidar_beams))
    azimuth = 2 * np.pi * (np.arange(spec.lidar_azimuths) + phase) / spec.lidar_azimuths
    flat, up = np.cos(elevation), np.sin(elevation)
    rays = np.empty((spec.lidar_azimuths, spec.lidar_beams, 3), np.float32)
    rays[..., 0] = np.sin(azimuth)[:, None] * flat  # clockwise from straight ahead, as in nuScenes
    rays[..., 1] = np.cos(azimuth)[:, None] * flat
    rays[..., 2] = up
    rings = np.tile(np.arange(spec.lidar_beams, dtype=np.float32), spec.lidar_azimuths)
    return rays.reshape(-1, 3), rings


def ray_ages(rays_N3: Floats) -> Floats:
    """Seconds from each LiDAR ray to its revolution's end; a camera fires as the LiDAR passes its axis."""
    revolutions = np.arctan2(rays_N3[:, 0], rays_N3[:, 1]) / np.float32(2 * np.pi)
    return (np.float32(AHEAD_S) - np.float32(REVOLUTION_S) * revolutions) % np.float32(REVOLUTION_S)
