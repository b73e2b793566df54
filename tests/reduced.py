"""The profile nuscenes with smaller widths, images, batches and schedules, and everything else as written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
import yaml

from dualdistill.models.bevdepth.image_encoder import resnet

WIDTH = 8  # of the ResNets
SIZES: dict[str, Any] = {
    "threads": 1,
    "input": {"image_height": 32, "image_width": 96},
    "students": {
        "bevdepth": {
            "width": WIDTH,
            "neck_channels": 16,
            "depth_channels": 8,
            "context_channels": 8,
            "bev_channels": [8, 16, 32],
            "bev_out_channels": 16,
            "head": {"share_channels": 16},
        }
    },
    "teachers": {
        "centerpoint": {
            "pillar_channels": 8,
            "layers": [1, 1, 1],
            "channels": [8, 16, 32],
            "neck_channels": 16,
            "head": {"share_channels": 16},
        }
    },
    "label_encoder": {"channels": 16},
    "backbones": {"r101": {"input.image_height": 64, "input.image_width": 192}},
    "schedules": {kind: {"batch": 2, "batch_per_device": 1} for kind in ("student", "teacher", "labels")},
}
# the same for what a recipe writes
OF_RECIPES = {
    "model.depth_channels": 8,
    "model.context_channels": 12,
    "schedule.batch": 2,
    "schedule.batch_per_device": 1,
}


def write_config(checkout: Path, folder: Path, root: Path, masks: Path) -> Path:
    """Write a copy of config/ with the small profile and the files it reads; return its config.yaml."""
    shutil.copytree(checkout / "config", folder)
    files = {f"r{depth}": folder.parent / f"resnet{depth}.pth" for depth in (50, 101)}
    for depth, file in zip((50, 101), files.values(), strict=True):
        torch.save(resnet(depth, WIDTH).state_dict(), file)
    _rewrite(folder / "profiles" / "nuscenes.yaml", lambda profile: _merged(profile, SIZES))
    _rewrite(folder / "recipes" / "as_published.yaml", _small_recipe)
    where = {"profile": "nuscenes", "data_root": str(root), "masks": str(masks)}
    where["imagenet"] = {name: str(file) for name, file in files.items()}
    _rewrite(folder / "config.yaml", lambda settings: settings | where)
    return folder / "config.yaml"


def set_epochs(folder: Path, epochs: dict[str, float]) -> None:
    """Give rows, and the label encoders as `labels`, their number of epochs."""
    rest = {row: number for row, number in epochs.items() if row != "labels"}
    _rewrite(
        folder / "variants.yaml",
        lambda rows: _merged(rows, {row: {"schedule.epochs": rest[row]} for row in rest}),
    )
    labels = {"schedules": {"labels": {"epochs": epochs["labels"]}}}
    _rewrite(folder / "profiles" / "nuscenes.yaml", lambda profile: _merged(profile, labels))


def _small_recipe(block: Any) -> Any:
    if not isinstance(block, dict):
        return block
    return {key: OF_RECIPES.get(key, _small_recipe(value)) for key, value in block.items()}


def _merged(block: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(block)
    for key, value in changes.items():
        before = block.get(key)
        merged[key] = (
            _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
        )
    return merged


def _rewrite(file: Path, change: Any) -> None:
    file.write_text(yaml.safe_dump(change(yaml.safe_load(file.read_text())), sort_keys=False))
