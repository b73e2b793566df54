"""Preview of one key frame: six camera images with projected boxes, and the point cloud from above.

Drawn through the devkit, so that it shows what any other reader of the data root would see.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.data_classes import LidarPointCloud
from nuscenes.utils.geometry_utils import BoxVisibility
from PIL import Image

from dualdistill.errors import UserError
from dualdistill.store.files import read_json
from dualdistill.world.sensors.rig import LIDAR

# left to right as seen by a viewer turning around; front above back
LAYOUT = (("CAM_FRONT_LEFT", "CAM_FRONT", "CAM_FRONT_RIGHT"), ("CAM_BACK_RIGHT", "CAM_BACK", "CAM_BACK_LEFT"))
WIDTH, TITLE = 22.0, 0.5  # inches


def show(root: Path, out_png: Path, scene: str, frame: int) -> None:
    """Draw key frame `frame` (from 0) of the scene named `scene`."""
    version = read_json(root / "world.json")["version"]
    nusc = NuScenes(version=version, dataroot=str(root), verbose=False)
    record, sample = _find_sample(nusc, scene, frame)
    camera = nusc.get("sample_data", sample["data"][LAYOUT[0][0]])
    # side of the square plot, in widths of an image: the height of two images with their titles
    square = 2 * camera["height"] / camera["width"] + 0.1
    image_width = WIDTH / (3 + square)
    figure = Figure(figsize=(WIDTH, square * image_width + TITLE), layout="constrained")
    grid = figure.add_gridspec(2, 4, width_ratios=(1, 1, 1, square))
    for row, channels in enumerate(LAYOUT):
        for column, channel in enumerate(channels):
            _draw_camera(nusc, sample, channel, figure.add_subplot(grid[row, column]))
    _draw_lidar(nusc, sample, figure.add_subplot(grid[:, 3]))
    figure.suptitle(f"{scene}, frame {frame}: {record['description']}", fontsize=12)
    out_png.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out_png, dpi=80)


def _find_sample(nusc: NuScenes, name: str, frame: int) -> tuple[dict[str, Any], dict[str, Any]]:
    records = [record for record in nusc.scene if record["name"] == name]
    if not records:
        names = f"{nusc.scene[0]['name']} ... {nusc.scene[-1]['name']}"
        raise UserError(f"there is no scene {name!r}", where=nusc.dataroot, hint=f"scenes: {names}")
    record = records[0]
    if not 0 <= frame < record["nbr_samples"]:
        hint = f"key frames: 0 to {record['nbr_samples'] - 1}"
        raise UserError(f"scene {name} has no key frame {frame}", where=nusc.dataroot, hint=hint)
    sample = nusc.get("sample", record["first_sample_token"])
    for _ in range(frame):
        sample = nusc.get("sample", sample["next"])
    return record, sample


def _colour(nusc: NuScenes, category: str) -> tuple[float, float, float]:
    red, green, blue = nusc.colormap[category]
    return red / 255, green / 255, blue / 255


def _draw_camera(nusc: NuScenes, sample: dict[str, Any], channel: str, axes: Axes) -> None:
    path, boxes, intrinsics = nusc.get_sample_data(sample["data"][channel], box_vis_level=BoxVisibility.ANY)
    image = Image.open(path)
    axes.imshow(image)
    for box in boxes:
        returns = nusc.get("sample_annotation", box.token)["num_lidar_pts"]
        colour = _colour(nusc, box.name)
        box.render(
            axes, view=intrinsics, normalize=True, colors=(colour,) * 3, linewidth=1 if returns else 0.3
        )
    axes.set(xlim=(0, image.width), ylim=(image.height, 0), xticks=[], yticks=[], aspect="equal")
    axes.set_title(channel, fontsize=9)


def _draw_lidar(nusc: NuScenes, sample: dict[str, Any], axes: Axes) -> None:
    path, boxes, _ = nusc.get_sample_data(sample["data"][LIDAR], box_vis_level=BoxVisibility.NONE)
    points = LidarPointCloud.from_file(path).points
    axes.scatter(points[0], points[1], c=np.clip(points[2], -2, 2), s=0.6, cmap="viridis", linewidths=0)
    half_width = 5.0
    for box in boxes:
        returns = nusc.get("sample_annotation", box.token)["num_lidar_pts"]
        box.render(axes, colors=(_colour(nusc, box.name),) * 3, linewidth=1.5 if returns else 0.4)
        axes.text(float(box.center[0]), float(box.center[1]), str(returns), fontsize=6, clip_on=True)
        half_width = max(half_width, float(np.abs(box.center[:2]).max()) + 3.0)
    axes.set(xlim=(-half_width, half_width), ylim=(-half_width, half_width), aspect="equal")
    axes.set_title("LIDAR_TOP from above: x right, y ahead; LiDAR returns per box", fontsize=9)
