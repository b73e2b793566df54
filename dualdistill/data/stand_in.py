"""A synthetic data root under nuScenes' names, with the masks that the profile nuscenes reads from files.

Readers that know no other version, scenes and splits than nuScenes' can open it. It is no substitute for the
data set: its scenes and logs are called synthetic, and tables name it a stand-in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from dualdistill.config.validation import check
from dualdistill.config.world import WorldSpec
from dualdistill.config.yaml import Document, parse
from dualdistill.data import index_build
from dualdistill.data.index import LIDAR_COLUMN, Index
from dualdistill.data.masks.rendered import RenderedMasks
from dualdistill.data.masks.stored import write_masks
from dualdistill.store.progress import track
from dualdistill.world.nuscenes import names
from dualdistill.world.nuscenes.build import build_world

MASKS = "instance_masks"  # folder in the root
COMMAND_LINE = "command line"
# the rates of nuScenes and, for its size, a few scenes
SMALL: dict[str, Any] = {
    "official_names": True,
    "lead_in": False,
    "images_per_frame": 6,
    "sweeps_per_frame": 10,
    "train_scenes": 2,
    "dev_scenes": 0,
    "val_scenes": 2,
    "frames_per_scene": 5,
}


def build(root: Path, keys: Mapping[str, str], workers: int) -> None:
    """Render the root with changes to the small world, then write its masks."""
    written = {key: parse(value, COMMAND_LINE).value for key, value in keys.items()}
    spec: WorldSpec = check(Document(COMMAND_LINE, asdict(WorldSpec()) | SMALL | written), WorldSpec)
    build_world(spec, root, workers)
    file = root / "scenes" / "index.npz"
    splits = {role: names.split_name(spec, f"world_{role}") for role in ("train", "val")}
    index_build.build(root, names.version(spec), splits, file)
    write_rendered_masks(Index.load(file), root, root / MASKS)
    file.unlink()


def write_rendered_masks(index: Index, root: Path, folder: Path) -> None:
    """Write the rendered masks of every image as files of computed masks."""
    masks = RenderedMasks(index, root)
    images = np.flatnonzero(index.record_channel != LIDAR_COLUMN).tolist()
    for record in track(images, len(images), "masks written"):
        size = (int(index.record_height[record]), int(index.record_width[record]))
        write_masks(folder, index.path(record), masks.masks(record), size)
