"""The knobs of the synthetic world, a part of the specs of its runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from dualdistill.config.ranges import STRICT, Count, NotNegative, Positive, Share, Whole

LIDAR_REACH = 2.0  # in radii, on a clear day: it sees past what is annotated, as a real one does


@dataclass(frozen=True, config=STRICT)
class WorldSpec:
    """The knobs of the synthetic world; every one changes what the sensors see."""

    seed: Whole = 0
    train_scenes: Whole = 60
    dev_scenes: Whole = 10
    val_scenes: Whole = 15
    pretrain_scenes: Whole = 0  # of whose objects the crops are that a backbone is pre-trained on
    frames_per_scene: Annotated[int, Field(ge=2)] = 10  # key frames at 2 Hz
    image_height: Annotated[int, Field(ge=16)] = 225  # a quarter of nuScenes' 900 x 1600
    image_width: Annotated[int, Field(ge=16)] = 400
    radius_m: Positive = 25.6  # boxes are annotated up to here ahead, behind and to the sides of the LiDAR
    lidar_beams: Count = 32
    lidar_azimuths: Count = 540
    lidar_noise_m: NotNegative = 0.02
    lidar_dropout: Share = 0.0  # share of the returns that are lost at random
    sweeps_per_frame: Count = 2  # LiDAR sweeps per key-frame interval, the key frame's own included
    density: NotNegative = 1.0  # objects per scene, relative to the default traffic
    occlusion: NotNegative = 1.0  # walls, trees, bushes, parked trucks, relative to the default town
    weather: Share = 1.0  # share of bad light and weather, relative to the default mix; 0: always a clear day

    @property
    def lidar_reach_m(self) -> float:
        return LIDAR_REACH * self.radius_m
