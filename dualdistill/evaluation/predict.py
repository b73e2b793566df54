"""Predict the boxes of the val or dev split with trained weights and write results_nusc.json.

Several processes take turns over the batches; the first gathers all boxes and writes the file.

Axes: K boxes. Detections arrive in the LIDAR_TOP frame as (x, y, z, l, w, h, yaw, vx, vy); nuScenes wants the
global frame, sizes as width, length, height and quaternions as w, x, y, z.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from scipy.spatial.transform import Rotation

from dualdistill import models
from dualdistill.config.nuscenes import ATTRIBUTE_BY_MOTION, CLASSES, MAX_BOXES, MOVING_MPS
from dualdistill.config.run_spec import RunSpec
from dualdistill.data.batch import Batch, Detections
from dualdistill.data.dataset import FrameDataset, collate
from dualdistill.data.index import LIDAR_COLUMN, Index
from dualdistill.data.loader_processes import load
from dualdistill.errors import CheckpointError
from dualdistill.evaluation.results_format import FLAGS, check
from dualdistill.launch import ranks
from dualdistill.models.layers import place
from dualdistill.plan.plan import DataPaths
from dualdistill.seeding import pin
from dualdistill.store.files import atomic_write
from dualdistill.store.lock import run_lock
from dualdistill.store.progress import track
from dualdistill.store.records import RESULTS, RUN, WEIGHTS, read_run, scores_folder
from dualdistill.training.checkpoint import load_weights

log = logging.getLogger(__name__)
Poses = dict[str, np.ndarray]  # sample token, in the split's order -> LIDAR_TOP to global [4, 4]
Boxes = dict[str, list[dict[str, Any]]]  # sample token -> entries of the results file
BATCH = 4  # frames: halves the time of a camera frame on a CPU, and needs little memory at full size


def run(spec: RunSpec, run_dir: Path, data: DataPaths, split: str = "val", out: Path | None = None) -> Path:
    """Predict a split with a run's weights, which must be those recorded in run.json."""
    first = ranks.rank() == 0
    with run_lock(run_dir / "state") if first else nullcontext():
        pin(spec.threads)
        trained = read_run(run_dir)
        if trained["spec_sha"] != spec.sha:
            what = "the run was trained with another spec"
            raise CheckpointError(what, where=str(run_dir / RUN), hint="train the run again")
        weights = trained["outputs"][WEIGHTS]
        detector = models.build(spec)
        load_weights(run_dir / WEIGHTS, detector, weights)
        index, split_name = Index.load(data.index), spec.data.splits()[split]
        images, points = detector.needs_images, detector.needs_points
        frames = FrameDataset(
            index,
            data.root,
            data.cache,
            split_name,
            spec,
            train=False,
            images=images,
            points=points,
            resized=data.images(spec),
            virtual=data.virtual(spec),
        )
        sensors = {"use_camera": images, "use_lidar": points}
        meta = dict.fromkeys(FLAGS, False) | sensors | {"weights_sha256": weights}
        out = out or scores_folder(run_dir, split) / RESULTS
        state = run_dir / "state" if first else None
        return predict(detector, frames, lidar_poses(index, split_name), meta, out, state)


def predict(
    detector: models.Detector,
    frames: FrameDataset,
    poses: Poses,
    meta: dict[str, Any],
    out: Path,
    state: Path | None = None,
) -> Path:
    """Detect in every frame and write the results file; the progress goes to `state`."""
    boxes = _gathered(_detect(detector, frames, poses, state))
    if boxes is None:
        return out
    document = {"meta": meta, "results": {token: boxes[token] for token in poses}}
    # validated before it is written: a fault of this suite must not reach the disk
    count = check(document, poses, str(out))
    atomic_write(out, json.dumps(document, allow_nan=False))
    log.info("wrote %s: %d boxes in %d samples", out, count, len(boxes))
    return out


def _detect(detector: models.Detector, frames: FrameDataset, poses: Poses, state: Path | None) -> Boxes:
    """The boxes in this process's share of the frames."""
    device = torch.device("cuda", ranks.local_rank()) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    place(detector, device)
    detector.eval()
    found: Boxes = {}
    each = BATCH * ranks.world_size()  # the others are as far as this process
    with torch.inference_mode():
        for batch in track(_batches(frames), len(frames), "samples predicted", folder=state, each=each):
            batch = batch.to(device)
            detections = detector.decode(detector(batch), batch)
            for token, boxes in zip(batch.tokens, detections, strict=True):
                found[token] = to_nuscenes(boxes, poses[token], token)
    return found


def _gathered(share: Boxes) -> Boxes | None:
    """The boxes of all processes in the first of them, None in the others."""
    if ranks.world_size() == 1:
        return share
    # over the CPU, and as patient as the slowest process needs
    dist.init_process_group("gloo", timeout=timedelta(days=7))
    shares: list[Boxes] | None = [{}] * ranks.world_size() if ranks.rank() == 0 else None
    dist.gather_object(share, shares)
    dist.destroy_process_group()
    return None if shares is None else {token: boxes for part in shares for token, boxes in part.items()}


def lidar_poses(index: Index, split: str) -> Poses:
    """Pose of the LiDAR at every key frame of a split."""
    samples = index.samples(split)
    poses = index.record_sensor_to_global[index.sample_key_record[samples, LIDAR_COLUMN]]
    return dict(zip(map(index.token, samples), poses, strict=True))


def to_nuscenes(detections: Detections, lidar_to_global_44: np.ndarray, token: str) -> list[dict[str, Any]]:
    """A sample's boxes as nuScenes result entries, best score first, at most MAX_BOXES."""
    order = torch.argsort(detections.scores_K, descending=True, stable=True)[:MAX_BOXES].cpu()
    boxes_K9 = detections.boxes_K9.cpu()[order].double().numpy()
    scores_K = detections.scores_K.cpu()[order].double().numpy()
    names = [CLASSES[label] for label in detections.labels_K.cpu()[order].tolist()]
    if not names:
        return []
    rotation = Rotation.from_matrix(lidar_to_global_44[:3, :3])
    centre_K3 = rotation.apply(boxes_K9[:, :3]) + lidar_to_global_44[:3, 3]
    yaw_K3 = np.pad(boxes_K9[:, 6:7], ((0, 0), (2, 0)))
    heading_K4 = (rotation * Rotation.from_rotvec(yaw_K3)).as_quat(scalar_first=True)
    velocity_K3 = rotation.apply(np.pad(boxes_K9[:, 7:9], ((0, 0), (0, 1))))
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
    """This process's share: whole batches, because the last bits of a frame's boxes depend on its batch."""
    positions = range(len(frames))
    keys = [[(position, 0) for position in positions[i : i + BATCH]] for i in positions[::BATCH]]
    return load(frames, collate, keys[ranks.rank() :: ranks.world_size()])
