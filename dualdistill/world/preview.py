"""A contact sheet of one key frame: six cameras with projected boxes, and points and boxes from above.

Drawn through the devkit, so that what is shown is what every other reader of the data root sees.
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
from dualdistill.world.nuscenes.tables import VERSION
from dualdistill.world.sensors.rig import LIDAR

# as one looks around: left to right, front above back
LAYOUT = (("CAM_FRONT_LEFT", "CAM_FRONT", "CAM_FRONT_RIGHT"), ("CAM_BACK_RIGHT", "CAM_BACK", "CAM_BACK_LEFT"))
WIDTH, HEADING = 22.0, 0.5  # inches


def show(root: Path, out_png: Path, scene: str, frame: int) -> None:
    """Draw key frame `frame` (from 0) of the scene named `scene`."""
    nusc = NuScenes(version=VERSION, dataroot=str(root), verbose=False)
    record, sample = _sample(nusc, scene, frame)
    camera = nusc.get("sample_data", sample["data"][LAYOUT[0][0]])
    # two pictures with their titles are as high as the square beside them, in widths of a picture
    square = 2 * camera["height"] / camera["width"] + 0.1
    picture = WIDTH / (3 + square)
    figure = Figure(figsize=(WIDTH, square * picture + HEADING), layout="constrained")
    grid = figure.add_gridspec(2, 4, width_ratios=(1, 1, 1, square))
    for row, channels in enumerate(LAYOUT):
        for column, channel in enumerate(channels):
            _camera(nusc, sample, channel, figure.add_subplot(grid[row, column]))
    _from_above(nusc, sample, figure.add_subplot(grid[:, 3]))
    figure.suptitle(f"{scene}, frame {frame}: {record['description']}", fontsize=12)
    out_png.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out_png, dpi=80)


def _sample(nusc: NuScenes, name: str, frame: int) -> tuple[dict[str, Any], dict[str, Any]]:
    found = [record for record in nusc.scene if record["name"] == name]
    if not found:
        names = f"{nusc.scene[0]['name']} ... {nusc.scene[-1]['name']}"
        raise UserError(f"no scene is called {name!r}", where=nusc.dataroot, hint=f"there are {names}")
    if not 0 <= frame < found[0]["nbr_samples"]:
        last = found[0]["nbr_samples"] - 1
        raise UserError(f"scene {name} has no key frame {frame}", where=nusc.dataroot, hint=f"0 to {last}")
    sample = nusc.get("sample", found[0]["first_sample_token"])
    for _ in range(frame):
        sample = nusc.get("sample", sample["next"])
    return found[0], sample


def _colour(nusc: NuScenes, category: str) -> tuple[float, float, float]:
    red, green, blue = nusc.colormap[category]
    return red / 255, green / 255, blue / 255


def _camera(nusc: NuScenes, sample: dict[str, Any], channel: str, axes: Axes) -> None:
    path, boxes, intrinsics = nusc.get_sample_data(sample["data"][channel], box_vis_level=BoxVisibility.ANY)
    image = Image.open(path)
    axes.imshow(image)
    for box in boxes:
        hits = nusc.get("sample_annotation", box.token)["num_lidar_pts"]
        colour = _colour(nusc, box.name)
        box.render(axes, view=intrinsics, normalize=True, colors=(colour,) * 3, linewidth=1 if hits else 0.3)
    axes.set(xlim=(0, image.width), ylim=(image.height, 0), xticks=[], yticks=[], aspect="equal")
    axes.set_title(channel, fontsize=9)


def _from_above(nusc: NuScenes, sample: dict[str, Any], axes: Axes) -> None:
    path, boxes, _ = nusc.get_sample_data(sample["data"][LIDAR], box_vis_level=BoxVisibility.NONE)
    points = LidarPointCloud.from_file(path).points
    axes.scatter(points[0], points[1], c=np.clip(points[2], -2, 2), s=0.6, cmap="viridis", linewidths=0)
    reach = 5.0
    for box in boxes:
        hits = nusc.get("sample_annotation", box.token)["num_lidar_pts"]
        box.render(axes, colors=(_colour(nusc, box.name),) * 3, linewidth=1.5 if hits else 0.4)
        axes.text(float(box.center[0]), float(box.center[1]), str(hits), fontsize=6, clip_on=True)
        reach = max(reach, float(np.abs(box.center[:2]).max()) + 3.0)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.set_title("LIDAR_TOP from above: x right, y ahead; LiDAR returns per box", fontsize=9)
