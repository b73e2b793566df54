"""The rig: six cameras and a LiDAR where nuScenes carries them, and when each of them looks.

Poses map a sensor's coordinates to the ego frame (x forward, y left, z up, origin on the ground below the rear axle).
Cameras look along their z, with x right and y down; pixel (column, row) covers [column, column + 1) x [row, row + 1).
LIDAR_TOP has x right, y forward, z up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyquaternion import Quaternion

from dualdistill.spec import WorldSpec
from dualdistill.world.mesh import Floats, turn
from dualdistill.world.motion import Array

FRAME_S = 0.5  # between key frames
LIDAR = "LIDAR_TOP"
LIDAR_AT = (0.94, 0.0, 1.84)
ELEVATIONS_DEG = (-30.67, 10.67)
SOURCE_SIZE = (1600.0, 900.0)  # of the real images; intrinsics scale with ours
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

    @property
    def quaternion(self) -> list[float]:
        return quaternion(self.rotation_33)


@dataclass(frozen=True)
class Pose:
    """Where a frame is: maps its coordinates to the global frame."""

    rotation_33: Array
    translation_3: Array

    def __matmul__(self, sensor: Sensor) -> Pose:
        shifted = self.rotation_33 @ sensor.translation_3 + self.translation_3
        return Pose(self.rotation_33 @ sensor.rotation_33, shifted)


def on_ground(xy: Array, yaw: float) -> Pose:
    return Pose(turn(yaw), np.array([xy[0], xy[1], 0.0]))


def quaternion(rotation_33: Array) -> list[float]:
    """w, x, y, z with w >= 0."""
    found = Quaternion(matrix=rotation_33, atol=1e-6).normalised
    return [float(value) for value in (found.elements if found.w >= 0 else -found.elements)]


def rig(rng: np.random.Generator, spec: WorldSpec) -> dict[str, Sensor]:
    """The sensors of one log: the same mounts, calibrated a little differently each time."""
    sensors = {LIDAR: Sensor(LIDAR, turn(-np.pi / 2), np.array(LIDAR_AT), 0.0)}
    scale_x, scale_y = spec.image_width / SOURCE_SIZE[0], spec.image_height / SOURCE_SIZE[1]
    for channel, (at, heading_deg, focal, lead_s) in MOUNTS.items():
        wobble = np.deg2rad(rng.normal(0, 0.4, 3).clip(-1, 1))
        rotation = (
            turn(np.deg2rad(heading_deg) + wobble[2]) @ turn(wobble[1], 1) @ turn(wobble[0], 0) @ LOOK_AHEAD
        )
        focal *= 1 + float(rng.normal(0, 0.004))
        centre = np.array(PRINCIPAL_POINT) + rng.normal(0, 4, 2)
        intrinsics = np.array(
            [[focal * scale_x, 0, centre[0] * scale_x], [0, focal * scale_y, centre[1] * scale_y], [0, 0, 1]]
        )
        position = np.array(at) + rng.normal(0, 0.01, 3)
        sensors[channel] = Sensor(channel, rotation, position, lead_s, intrinsics)
    return sensors


def camera_rays(sensor: Sensor, width: int, height: int) -> Floats:
    """One ray per pixel centre, row by row, in camera coordinates; z = 1, so a ray's length parameter is depth."""
    assert sensor.intrinsics_33 is not None
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    pixels = np.stack([columns, rows, np.ones_like(columns)], -1).reshape(-1, 3)
    return (pixels @ np.linalg.inv(sensor.intrinsics_33).T).astype(np.float32)


def lidar_rays(spec: WorldSpec, phase: float) -> tuple[Floats, NDArray[np.float32]]:
    """Unit rays of one turn in LiDAR coordinates, azimuth by azimuth, with each one's ring; ring 0 looks lowest."""
    elevation = np.deg2rad(np.linspace(*ELEVATIONS_DEG, spec.lidar_beams))
    azimuth = 2 * np.pi * (np.arange(spec.lidar_azimuths) + phase) / spec.lidar_azimuths
    flat, up = np.cos(elevation), np.sin(elevation)
    rays = np.empty((spec.lidar_azimuths, spec.lidar_beams, 3), np.float32)
    rays[..., 0] = np.sin(azimuth)[:, None] * flat  # clockwise from straight ahead, like the real one
    rays[..., 1] = np.cos(azimuth)[:, None] * flat
    rays[..., 2] = up
    rings = np.tile(np.arange(spec.lidar_beams, dtype=np.float32), spec.lidar_azimuths)
    return rays.reshape(-1, 3), rings
