"""The knobs of the synthetic world; part of a spec (spec.py)."""

from __future__ import annotations

from dataclasses import dataclass

LIDAR_REACH = 2.0  # in radii, on a clear day: it sees past what is annotated, as a real one does


@dataclass(frozen=True)
class WorldSpec:
    """The knobs of the synthetic world; every one changes what the sensors see."""

    seed: int = 0
    train_scenes: int = 60
    dev_scenes: int = 10
    val_scenes: int = 15
    pretrain_scenes: int = 0  # of whose objects the crops are that a backbone is pre-trained on
    frames_per_scene: int = 10  # key frames at 2 Hz
    image_height: int = 225  # a quarter of nuScenes' 900 x 1600
    image_width: int = 400
    radius_m: float = 25.6  # boxes are annotated up to here ahead, behind and to the sides of the LiDAR
    lidar_beams: int = 32
    lidar_azimuths: int = 540
    lidar_noise_m: float = 0.02
    lidar_dropout: float = 0.0  # share of the returns that are lost at random
    sweeps_per_frame: int = 2  # LiDAR sweeps per key-frame interval, the key frame's own included
    density: float = 1.0  # objects per scene, relative to the default traffic
    occlusion: float = 1.0  # walls, trees, bushes, parked trucks, relative to the default town
    weather: float = 1.0  # share of bad light and weather, relative to the default mix; 0: always a clear day

    @property
    def lidar_reach_m(self) -> float:
        return LIDAR_REACH * self.radius_m
