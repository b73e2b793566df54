"""A tiny world per session, with clear weather and no range noise, so that geometry compares exactly."""

from __future__ import annotations

from pathlib import Path

import pytest
from nuscenes.nuscenes import NuScenes

from dualdistill.config.world import WorldSpec
from dualdistill.world.nuscenes.build import build_world


@pytest.fixture(scope="session")
def spec() -> WorldSpec:
    return WorldSpec(
        seed=3,
        train_scenes=1,
        dev_scenes=1,
        val_scenes=2,
        pretrain_scenes=1,
        frames_per_scene=3,
        image_height=90,
        image_width=160,
        lidar_noise_m=0.0,
        weather=0.0,
    )


@pytest.fixture(scope="session")
def root(spec: WorldSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    build_world(spec, folder, workers=1)
    return folder


@pytest.fixture(scope="session")
def nusc(root: Path) -> NuScenes:
    return NuScenes(version="v1.0-world", dataroot=str(root), verbose=False)
