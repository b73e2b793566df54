"""Parameters of the synthetic world, a part of its runs' specs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from dualdistill.config.ranges import STRICT, Count, NotNegative, Share, Whole

LIDAR_REACH = 2.0  # range in clear weather, in radii: beyond the annotated area, as with a real LiDAR


@dataclass(frozen=True, config=STRICT)
class WorldSpec:
    """Parameters of the synthetic world ("knobs" on the command line); each changes the sensor data."""

    seed: Whole = 0
    train_scenes: Whole = 60
    dev_scenes: Whole = 10
    val_scenes: Whole = 15
    pretrain_scenes: Whole = 0  # scenes for pre-training backbones on crops of objects
    frames_per_scene: Annotated[int, Field(ge=2)] = 10  # key frames at 2 Hz
    image_height: Annotated[int, Field(ge=16)] = 225  # a quarter of nuScenes' 900 x 1600
    image_width: Annotated[int, Field(ge=16)] = 400
    radius_m: Annotated[float, Field(ge=10)] = 25.6  # largest |x| and |y| of annotated boxes
    lidar_beams: Count = 32
    lidar_azimuths: Count = 540
    lidar_noise_m: NotNegative = 0.02
    lidar_dropout: Share = 0.0  # share of returns lost at random
    sweeps_per_frame: Count = 2  # LiDAR sweeps per key-frame interval, with the key frame's; nuScenes: 10
    images_per_frame: Count = 1  # images of a camera per key-frame interval, likewise; nuScenes: 6
    lead_in: bool = True  # a frame before the first key frame; a scene of nuScenes begins with its key frame
    official_names: bool = False  # version, scene names and splits of nuScenes, for tools that know no others
    density: NotNegative = 1.0  # objects per scene, relative to the default traffic
    occlusion: NotNegative = 1.0  # walls, trees, bushes, parked trucks, relative to the default town
    weather: Share = 1.0  # share of bad light and weather, relative to the default mix; 0: always a clear day

    @property
    def lidar_reach_m(self) -> float:
        return LIDAR_REACH * self.radius_m
