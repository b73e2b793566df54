"""One key frame: ground-truth and student boxes in six cameras, and both networks' boxes over the LiDAR."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from dualdistill.config.nuscenes import CAMERAS
from dualdistill.plan.figures import FigureView
from dualdistill.plan.plan import Plan
from dualdistill.report.figures import bev_maps, layout

# a turn of the head: left to right, front above back
LAYOUT = ("CAM_FRONT_LEFT", "CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_RIGHT", "CAM_BACK", "CAM_BACK_LEFT")
GROUND_IN = 3.4  # high, with its labels
NAMES = ("images_NHW3", "intrinsics_N33", "lidar_to_camera_N44", "points_P3", "half_extent_m")
BOXES = ("truth_K9", "teacher_K9", "teacher_scores_K", "student_K9", "student_scores_K")


def draw(plan: Plan, view: FigureView) -> Figure:
    seen = bev_maps.read(view, *NAMES, *BOXES)
    height, width = seen["images_NHW3"].shape[1:3]
    camera_in = layout.WIDTH_IN / 3 * height / width + 0.25  # of a row with its titles
    figure, below = layout.with_legend(1.1 + 2 * camera_in + GROUND_IN, _handles())
    parts: Any = below.subfigures(2, 1, height_ratios=(2 * camera_in, GROUND_IN))
    cameras, grounds = parts
    for axes, name in zip(cameras.subplots(2, 3).flat, LAYOUT, strict=True):
        _camera(axes, seen, name, view.options["min_score"])
    for axes, who in zip(grounds.subplots(1, 2, sharey=True), ("teacher", "student"), strict=True):
        _ground(axes, seen, who, view.options["min_score"])
    grounds.axes[0].set_ylabel("y ahead, m")
    layout.small_print(
        figure,
        bev_maps.caption(plan, view),
        f"Predicted boxes score above {view.options['min_score']:g}, "
        "ground-truth boxes hold a LiDAR or radar point.",
    )
    return figure


def style(who: str) -> dict[str, Any]:
    """Line styles: broad for ground truth, which lies under the thin lines of the two networks."""
    styles: dict[str, dict[str, Any]] = {
        "truth": {"colors": layout.colour(4), "linewidths": 2.0},
        "teacher": {"colors": layout.colour(2), "linewidths": 1.1, "linestyles": (0, (3, 1.5))},
        "student": {"colors": layout.colour(5), "linewidths": 1.1},
    }
    return styles[who]


def confident(seen: dict[str, NDArray[Any]], who: str, min_score: float) -> NDArray[Any]:
    """The boxes of a network above a score."""
    return np.asarray(seen[f"{who}_K9"][seen[f"{who}_scores_K"] > min_score])


def _camera(axes: Axes, seen: dict[str, NDArray[Any]], name: str, min_score: float) -> None:
    number = CAMERAS.index(name)
    image_HW3 = seen["images_NHW3"][number]
    axes.imshow(image_HW3)
    pose = (seen["lidar_to_camera_N44"][number], seen["intrinsics_N33"][number])
    bev_maps.boxes_in_camera(axes, seen["truth_K9"], *pose, **style("truth"))
    bev_maps.boxes_in_camera(axes, confident(seen, "student", min_score), *pose, **style("student"))
    axes.set(xlim=(0, image_HW3.shape[1]), ylim=(image_HW3.shape[0], 0), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_title(name.removeprefix("CAM_").replace("_", " ").lower())


def _ground(axes: Axes, seen: dict[str, NDArray[Any]], who: str, min_score: float) -> None:
    points_P3 = seen["points_P3"]
    axes.scatter(points_P3[:, 0], points_P3[:, 1], s=0.5, c="0.62", linewidths=0, rasterized=True)
    bev_maps.boxes_above(axes, seen["truth_K9"], **style("truth"))
    bev_maps.boxes_above(axes, confident(seen, who, min_score), **style(who))
    bev_maps.frame_ground(axes, float(seen["half_extent_m"]))
    axes.set(xlabel="x to the right, m", title=f"{who} from above, with LiDAR")


def _handles() -> list[Artist]:
    names = {"truth": "ground truth", "teacher": "teacher, from above only", "student": "student"}
    shown: list[Artist] = []
    for who, name in names.items():
        look = {key.removesuffix("s"): value for key, value in style(who).items()}
        shown.append(Line2D([], [], label=name, **look))
    return shown
