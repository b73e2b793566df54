"""One key frame as arrays: images, LiDAR, ground truth and the boxes predicted by two runs.

Axes: K boxes, N cameras, P points. Boxes are rows (x, y, z, l, w, h, yaw, vx, vy) in LIDAR_TOP.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualdistill.data.geometry import Array, boxes_from_global, inverse
from dualdistill.data.index import LIDAR_COLUMN, Index
from dualdistill.data.sensor_files import SensorFiles
from dualdistill.errors import CheckpointError, UserError
from dualdistill.evaluation.results_format import read_results
from dualdistill.plan.figures import FigureView
from dualdistill.plan.plan import Plan
from dualdistill.store.records import RESULTS, WEIGHTS, read_run

Arrays = dict[str, NDArray[Any]]


def position(index: Index, split: str, view: FigureView) -> int:
    """Position of the figure's key frame in the split."""
    samples = index.samples(split)
    scenes = list(dict.fromkeys(index.sample_scene[samples].tolist()))
    scene, frame = view.options["scene"], view.options["frame"]
    if scene >= len(scenes):
        raise UserError(f"split {split} has no scene {scene}", where="frame", hint=f"0 to {len(scenes) - 1}")
    positions = np.flatnonzero(index.sample_scene[samples] == scenes[scene])
    if frame >= len(positions):
        what = f"scene {scene} of {split} has no key frame {frame}"
        raise UserError(what, where="frame", hint=f"0 to {len(positions) - 1}")
    return int(positions[frame])


def gather(plan: Plan, view: FigureView) -> Arrays:
    """Collect the sensor data and boxes of the figure's key frame."""
    index, split = Index.load(plan.paths.index), plan.scored_split
    sample = int(index.samples(split)[position(index, split, view)])
    files, pose = SensorFiles(index, plan.paths.root), index.record_sensor_to_global
    keys = [int(key) for key in index.sample_key_record[sample]]
    cameras = [key for column, key in enumerate(keys) if column != LIDAR_COLUMN]
    scene = str(index.scene_name[index.sample_scene[sample]].decode())
    has_points = index.has_points()[index.annotations(sample)]
    arrays: Arrays = {
        "images_NHW3": np.stack([files.image(key) for key in cameras]),
        "intrinsics_N33": np.stack([index.intrinsics(key) for key in cameras]),
        "lidar_to_camera_N44": np.stack([inverse(pose[key]) @ pose[keys[LIDAR_COLUMN]] for key in cameras]),
        "points_P3": files.cloud(keys[LIDAR_COLUMN])[:, :3],
        "truth_K9": index.boxes(sample)[has_points],
        "half_extent_m": np.array(plan.runs[view.runs[0]].spec.grid.half_extent_m),
        "name": np.array(f"{scene}, key frame {view.options['frame']}"),
    }
    for name, run in zip(("teacher", "student"), view.runs, strict=True):
        boxes_K9, scores_K = predicted(plan, run, index.token(sample), pose[keys[LIDAR_COLUMN]])
        arrays |= {f"{name}_K9": boxes_K9, f"{name}_scores_K": scores_K}
    return arrays


def predicted(plan: Plan, run: str, token: str, lidar_to_global_44: Array) -> tuple[Array, Array]:
    """Boxes and scores that a run predicted for a sample, with its present weights."""
    folder, results = plan.folder(plan.runs[run]), plan.scores(plan.runs[run]) / RESULTS
    document = read_results(results)
    if document.get("meta", {}).get("weights_sha256") != read_run(folder)["outputs"][WEIGHTS]:
        what = "the predictions were made with other weights than the run's"
        raise CheckpointError(what, where=str(results), hint="predict the run again")
    rows = document["results"][token]

    def column(name: str, width: int) -> Array:
        return np.array([row[name] for row in rows], dtype=float).reshape(-1, width)

    velocity_K3 = np.pad(column("velocity", 2), ((0, 0), (0, 1)))
    boxes_K9 = boxes_from_global(
        lidar_to_global_44, column("translation", 3), column("size", 3), column("rotation", 4), velocity_K3
    )
    return boxes_K9, column("detection_score", 1)[:, 0]
