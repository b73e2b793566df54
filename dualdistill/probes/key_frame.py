"""One key frame as arrays: images, LiDAR, true boxes and the boxes that two runs predicted; no network runs.

Axes: K boxes, N cameras, P points. Boxes are rows (x, y, z, l, w, h, yaw, vx, vy) in LIDAR_TOP.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualdistill.data.geometry import Array, boxes_from_global, inverse
from dualdistill.data.index import LIDAR, Index
from dualdistill.data.sensor_files import Files
from dualdistill.errors import CheckpointError, UserError
from dualdistill.evaluation.results_format import read_results
from dualdistill.plan.figures import FigureView
from dualdistill.plan.plan import Plan
from dualdistill.store.records import RESULTS, WEIGHTS, read_run

Arrays = dict[str, NDArray[Any]]


def position(index: Index, split: str, view: FigureView) -> int:
    """Where in the split the view's key frame stands."""
    samples = index.samples(split)
    scenes = list(dict.fromkeys(index.sample_scene[samples].tolist()))
    scene, frame = view.options["scene"], view.options["frame"]
    if scene >= len(scenes):
        raise UserError(f"split {split} has no scene {scene}", where="frame", hint=f"0 to {len(scenes) - 1}")
    places = np.flatnonzero(index.sample_scene[samples] == scenes[scene])
    if frame >= len(places):
        what = f"scene {scene} of {split} has no key frame {frame}"
        raise UserError(what, where="frame", hint=f"0 to {len(places) - 1}")
    return int(places[frame])


def gather(plan: Plan, view: FigureView) -> Arrays:
    """Everything that the picture of the view's frame shows."""
    index, split = Index.load(plan.paths.index), plan.scored_split
    sample = int(index.samples(split)[position(index, split, view)])
    files, pose = Files(index, plan.paths.root), index.record_sensor_to_global
    keys = [int(key) for key in index.sample_key_record[sample]]
    cameras = [key for column, key in enumerate(keys) if column != LIDAR]
    scene = str(index.scene_name[index.sample_scene[sample]].decode())
    seen = index.seen()[index.annotations(sample)]
    found: Arrays = {
        "images_NHW3": np.stack([files.image(key) for key in cameras]),
        "intrinsics_N33": np.stack([index.intrinsics(key) for key in cameras]),
        "lidar_to_camera_N44": np.stack([inverse(pose[key]) @ pose[keys[LIDAR]] for key in cameras]),
        "points_P3": files.cloud(keys[LIDAR])[:, :3],
        "truth_K9": index.boxes(sample)[seen],
        "half_extent_m": np.array(plan.runs[view.runs[0]].spec.grid.half_extent_m),
        "name": np.array(f"{scene}, key frame {view.options['frame']}"),
    }
    for name, run in zip(("teacher", "student"), view.runs, strict=True):
        boxes_K9, scores_K = predicted(plan, run, index.token(sample), pose[keys[LIDAR]])
        found |= {f"{name}_K9": boxes_K9, f"{name}_scores_K": scores_K}
    return found


def predicted(plan: Plan, run: str, token: str, lidar_to_global_44: Array) -> tuple[Array, Array]:
    """A run's boxes at a sample and their scores, if its present weights made them."""
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
