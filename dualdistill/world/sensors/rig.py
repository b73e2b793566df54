"""The rig: six cameras and a LiDAR where nuScenes carries them, and when each of them looks.

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
from dualdistill.world.geometry.mesh import Floats, turn
from dualdistill.world.geometry.motion import Array

FRAME_S = 0.5  # between key frames
TURN_S = 0.05  # that a turn of the LiDAR takes; it ends at the sweep's time
AHEAD_S = 0.035  # before its end it looks straight ahead
NEAR_M = 0.1  # cameras see nothing closer
WIDER_HALF = 1.05  # of an image, over the half left of the principal point; at most
LIDAR_AT = (0.94, 0.0, 1.84)
ELEVATIONS_DEG = (-30.67, 10.67)
SOURCE_SIZE = (
    1600.0,
    900.0,
)  # of the real images: ours are scaled by the width, and what a lower one lacks is sky
# channel: position, heading in degrees, focal length in real pixels, seconds by which it precedes the LiDAR
MOUNTS: dict[str, tuple[tuple[float, float, float], float, float, float]] = {
    "CAM_FRONT": ((1.70, 0.016, 1.51), 0.0, 1266.0, 0.035),
    "CAM_FRONT_RIGHT": ((1.55, -0.493, 1.50), -56.4, 1261.0, 0.028),
    "CAM_BACK_RIGHT": ((1.01, -0.481, 1.56), -110.8, 1259.0, 0.020),
    "CAM_BACK": ((0.03, 0.003, 1.58), 180.0, 809.0, 0.010),
    "CAM_BACK_LEFT": ((1.04, 0.485, 1.59), 108.6, 1257.0, 0.001),
    "CAM_FRONT_LEFT": ((1.52, 0.495, 1.51), 55.1, 1273.0, 0.043),
}
PRINCIPAL_POINT = (816.0, 491.0)
# camera axes (right, down, ahead) in a frame that looks along +x
LOOK_AHEAD = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True)
class Sensor:
    channel: str
    rotation_33: Array  # sensor -> ego
    translation_3: Array
    lead_s: float  # how much earlier than the LiDAR it looks
    intrinsics_33: Array | None = None


@dataclass(frozen=True)
class Pose:
    """Where a frame is in another one: maps its coordinates to the other's."""

    rotation_33: Array
    translation_3: Array

    def __matmul__(self, inner: Sensor | Pose) -> Pose:
        shifted = self.rotation_33 @ inner.translation_3 + self.translation_3
        return Pose(self.rotation_33 @ inner.rotation_33, shifted)


def on_ground(xy: Array | tuple[float, float], yaw: float) -> Pose:
    return Pose(turn(yaw), np.array([xy[0], xy[1], 0.0]))


def quaternion(rotation_33: Array) -> list[float]:
    """w, x, y, z with w >= 0."""
    found = Quaternion(matrix=rotation_33, atol=1e-6).elements
    return [float(value) for value in (found if found[0] >= 0 else -found)]


def heading(pose: Pose) -> list[float]:
    """The quaternion of a pose on the ground; a hundred times faster than the general one."""
    half_yaw = np.arctan2(pose.rotation_33[1, 0], pose.rotation_33[0, 0]) / 2
    return [float(np.cos(half_yaw)), 0.0, 0.0, float(np.sin(half_yaw))]


def rig(rng: np.random.Generator, spec: WorldSpec) -> dict[str, Sensor]:
    """The sensors of one log: the same mounts, calibrated a little differently each time."""
    sensors = {LIDAR: Sensor(LIDAR, turn(-np.pi / 2), np.array(LIDAR_AT), 0.0)}
    scale = spec.image_width / SOURCE_SIZE[0]
    cut = scale * SOURCE_SIZE[1] - spec.image_height  # rows at the top
    for channel, (at, heading_deg, focal, lead_s) in MOUNTS.items():
        wobble = np.deg2rad(rng.normal(0, 0.4, 3).clip(-1, 1))
        rotation = (
            turn(np.deg2rad(heading_deg) + wobble[2]) @ turn(wobble[1], 1) @ turn(wobble[0], 0) @ LOOK_AHEAD
        )
        focal *= 1 + float(rng.normal(0, 0.004))
        centre = np.array(PRINCIPAL_POINT) + rng.normal(0, 4, 2)
        x, y = scale * centre - (0.0, cut)
        intrinsics = np.array([[focal * scale, 0, x], [0, focal * scale, y], [0, 0, 1]])
        position = np.array(at) + rng.normal(0, 0.01, 3)
        sensors[channel] = Sensor(channel, rotation, position, lead_s, intrinsics)
    return sensors


def out_of_view(seen_3: Array, sensor: Sensor) -> Array:
    """How far points (in camera coordinates) lie beside the field of view, in metres; negative inside."""
    assert sensor.intrinsics_33 is not None
    focal, centre = sensor.intrinsics_33[0, 0], sensor.intrinsics_33[0, 2]
    slope = WIDER_HALF * centre / focal
    return (np.abs(seen_3[..., 0]) - slope * seen_3[..., 2]) / np.sqrt(1 + slope**2)


def window(
    corners_K3: Array, pose: Pose, sensor: Sensor, size: tuple[int, int]
) -> tuple[slice, slice] | None:
    """Rows and columns of an image (height, width) that hold what the corners span; None if out of view."""
    assert sensor.intrinsics_33 is not None
    seen = (corners_K3 - pose.translation_3) @ pose.rotation_33
    height, width = size
    before = seen[:, 2] >= NEAR_M
    if not before.any():
        return None
    if not before.all():  # it reaches behind the camera: only what is cut off in front of it counts
        here, there = seen[before][:, None], seen[~before]
        share = (here[..., 2:] - NEAR_M) / (here[..., 2:] - there[..., 2:])
        seen = np.concatenate([seen[before], (here + share * (there - here)).reshape(-1, 3)])
    pixels = seen @ sensor.intrinsics_33.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    left, top = np.floor(np.clip(pixels.min(0), 0, (width, height))).astype(int)
    right, bottom = np.ceil(np.clip(pixels.max(0), 0, (width, height))).astype(int)
    return None if left >= right or top >= bottom else (slice(top, bottom), slice(left, right))


def camera_rays(sensor: Sensor, width: int, height: int) -> Floats:
    """One ray per pixel centre, row by row, in camera coordinates; z = 1, so that ray lengths are depths."""
    assert sensor.intrinsics_33 is not None
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    pixels = np.stack([columns, rows, np.ones_like(columns)], -1).reshape(-1, 3)
    return (pixels @ np.linalg.inv(sensor.intrinsics_33).T).astype(np.float32)


def lidar_rays(spec: WorldSpec, phase: float) -> tuple[Floats, NDArray[np.float32]]:
    """Unit rays of one turn in LiDAR coordinates, azimuth by azimuth, and their rings, 0 the lowest."""
    elevation = np.deg2rad(np.linspace(*ELEVATIONS_DEG, spec.lidar_beams))
    azimuth = 2 * np.pi * (np.arange(spec.lidar_azimuths) + phase) / spec.lidar_azimuths
    flat, up = np.cos(elevation), np.sin(elevation)
    rays = np.empty((spec.lidar_azimuths, spec.lidar_beams, 3), np.float32)
    rays[..., 0] = np.sin(azimuth)[:, None] * flat  # clockwise from straight ahead, like the real one
    rays[..., 1] = np.cos(azimuth)[:, None] * flat
    rays[..., 2] = up
    rings = np.tile(np.arange(spec.lidar_beams, dtype=np.float32), spec.lidar_azimuths)
    return rays.reshape(-1, 3), rings


def ages(rays_N3: Floats) -> Floats:
    """Seconds from a LiDAR ray to its turn's end; cameras look when the LiDAR passes their middle."""
    turned = np.arctan2(rays_N3[:, 0], rays_N3[:, 1]) / np.float32(2 * np.pi)
    return (np.float32(AHEAD_S) - np.float32(TURN_S) * turned) % np.float32(TURN_S)
