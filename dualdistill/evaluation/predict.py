"""Trained weights -> results_nusc.json: the boxes of the val or dev split in nuScenes' global frame.

Axes: K boxes. Detections arrive in the LIDAR_TOP frame as (x, y, z, l, w, h, yaw, vx, vy); nuScenes wants the
global frame, sizes as width, length, height and quaternions as w, x, y, z.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch.utils.data import DataLoader

from dualdistill import models
from dualdistill.config.nuscenes import CLASSES
from dualdistill.config.run_spec import RunSpec
from dualdistill.data.batch import Batch, Detections
from dualdistill.data.dataset import FrameDataset, collate
from dualdistill.data.index import LIDAR, Index
from dualdistill.errors import CheckpointError
from dualdistill.evaluation.results_format import FLAGS, MAX_BOXES, check
from dualdistill.models.layers import place
from dualdistill.plan.plan import DataPaths
from dualdistill.seeding import pin
from dualdistill.store.files import atomic_write
from dualdistill.store.lock import run_lock
from dualdistill.store.progress import track
from dualdistill.store.records import RESULTS, RUN, WEIGHTS, read_run, scores_folder
from dualdistill.training.checkpoint import load_weights

log = logging.getLogger(__name__)
Poses = dict[str, np.ndarray]  # sample token -> LIDAR_TOP to global [4, 4]
TOGETHER = 4  # frames: on a processor a camera frame takes half the time, and memory stays small at full size
MOVING_MPS = 0.2
# what a box of a class is called above and below that speed
ATTRIBUTE_BY_MOTION = {
    "car": ("vehicle.moving", "vehicle.parked"),
    "truck": ("vehicle.moving", "vehicle.parked"),
    "construction_vehicle": ("vehicle.moving", "vehicle.parked"),
    "bus": ("vehicle.moving", "vehicle.stopped"),
    "trailer": ("vehicle.moving", "vehicle.parked"),
    "barrier": ("", ""),
    "motorcycle": ("cycle.with_rider", "cycle.without_rider"),
    "bicycle": ("cycle.with_rider", "cycle.without_rider"),
    "pedestrian": ("pedestrian.moving", "pedestrian.standing"),
    "traffic_cone": ("", ""),
}


def run(spec: RunSpec, run_dir: Path, data: DataPaths, split: str = "val", out: Path | None = None) -> Path:
    """Predict a split with a run's weights, which must be the ones that run.json recorded."""
    with run_lock(run_dir / "state"):
        pin(spec.threads)
        trained = read_run(run_dir)
        if trained["spec_sha"] != spec.sha:
            what = "the run was trained with another spec"
            raise CheckpointError(what, where=str(run_dir / RUN), hint="train the run again")
        weights = trained["outputs"][WEIGHTS]
        detector = models.build(spec)
        load_weights(run_dir / WEIGHTS, detector, weights)
        index, named = Index.load(data.index), spec.data.splits()[split]
        camera, lidar = detector.needs_images, detector.needs_points
        frames = FrameDataset(
            index,
            data.root,
            data.cache,
            named,
            spec,
            train=False,
            images=camera,
            points=lidar,
            virtual=data.virtual(spec),
        )
        used = {"use_camera": camera, "use_lidar": lidar, "weights_sha256": weights}
        meta = dict.fromkeys(FLAGS, False) | used
        out = out or scores_folder(run_dir, split) / RESULTS
        return predict(detector, frames, lidar_poses(index, named), meta, out, run_dir / "state")


def predict(
    detector: models.Detector,
    frames: FrameDataset,
    poses: Poses,
    meta: dict[str, Any],
    out: Path,
    state: Path | None = None,
) -> Path:
    """Detect in every frame and write the results file; the progress goes to `state`."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    place(detector, device)
    detector.eval()
    results: dict[str, list[dict[str, Any]]] = {}
    with torch.inference_mode():
        for batch in track(_batches(frames), len(frames), "samples predicted", folder=state, each=TOGETHER):
            here = batch.to(device)
            found = detector.decode(detector(here), here)
            for token, detections in zip(batch.tokens, found, strict=True):
                results[token] = to_nuscenes(detections, poses[token], token)
    document = {"meta": meta, "results": results}
    # a fault of ours must not reach the disk either
    boxes = check(document, poses, str(out))
    atomic_write(out, json.dumps(document, allow_nan=False))
    log.info("wrote %s: %d boxes in %d samples", out, boxes, len(results))
    return out


def lidar_poses(index: Index, split: str) -> Poses:
    """Where the LiDAR was at the key frame of every sample of a split."""
    records = {index.token(sample): index.sample_key_record[sample, LIDAR] for sample in index.samples(split)}
    return {token: index.record_sensor_to_global[record] for token, record in records.items()}


def to_nuscenes(detections: Detections, lidar_to_global_44: np.ndarray, token: str) -> list[dict[str, Any]]:
    """One sample's boxes as nuScenes' result entries, best score first, no more than the devkit accepts."""
    order = torch.argsort(detections.scores_K, descending=True, stable=True)[:MAX_BOXES].cpu()
    boxes_K9 = detections.boxes_K9.cpu()[order].double().numpy()
    scores_K = detections.scores_K.cpu()[order].double().numpy()
    names = [CLASSES[label] for label in detections.labels_K.cpu()[order].tolist()]
    if not names:
        return []
    turn = Rotation.from_matrix(lidar_to_global_44[:3, :3])
    centre_K3 = turn.apply(boxes_K9[:, :3]) + lidar_to_global_44[:3, 3]
    yaw_K3 = np.pad(boxes_K9[:, 6:7], ((0, 0), (2, 0)))
    heading_K4 = (turn * Rotation.from_rotvec(yaw_K3)).as_quat(scalar_first=True)
    velocity_K3 = turn.apply(np.pad(boxes_K9[:, 7:9], ((0, 0), (0, 1))))
    speed_K = np.hypot(boxes_K9[:, 7], boxes_K9[:, 8])
    return [
        {
            "sample_token": token,
            "translation": centre_K3[k].tolist(),
            "size": boxes_K9[k, [4, 3, 5]].tolist(),
            "rotation": heading_K4[k].tolist(),
            "velocity": velocity_K3[k, :2].tolist(),
            "detection_name": name,
            "detection_score": float(scores_K[k]),
            "attribute_name": ATTRIBUTE_BY_MOTION[name][0 if speed_K[k] > MOVING_MPS else 1],
        }
        for k, name in enumerate(names)
    ]


def _batches(frames: FrameDataset) -> Iterable[Batch]:
    positions = range(len(frames))
    keys = [[(position, 0) for position in positions[i : i + TOGETHER]] for i in positions[::TOGETHER]]
    workers = int(os.environ.get("DUALDISTILL_LOADERS", "0"))
    return DataLoader(frames, batch_sampler=keys, collate_fn=collate, num_workers=workers)
