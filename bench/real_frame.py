"""Fit a full-size network to one real key frame, and state which boxes it finds and why it misses the others.

    python bench/real_frame.py bevdepth-r50 --frame FOLDER --work FOLDER

Published sizes, random initial weights, no augmentation, a constant learning rate, at most 400 steps. A run
that is stopped goes on where it was. --frame holds six images, a cloud and info.json of mmdet3d.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from frame_root import SPLIT, VERSION, write_root
from nuscenes import NuScenes
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.common.data_classes import EvalBoxes
from nuscenes.eval.common.loaders import (
    add_center_dist,
    filter_eval_boxes,
    load_gt_of_sample_tokens,
    load_prediction,
)
from nuscenes.eval.common.utils import center_distance
from nuscenes.eval.detection.algo import accumulate
from nuscenes.eval.detection.data_classes import DetectionBox
from torch import nn

from dualdistill import models
from dualdistill.config.nuscenes import BENCHMARK, CLASSES, MAX_BOXES, TASKS
from dualdistill.config.run_spec import DataSpec, RunSpec, StudentSpec, TeacherInputSpec
from dualdistill.data import index_build
from dualdistill.data.dataset import FrameDataset, collate
from dualdistill.data.geometry import inverse, move_points
from dualdistill.data.index import LIDAR_COLUMN, Index
from dualdistill.data.loader import frame_batches
from dualdistill.evaluation import evaluate, predict
from dualdistill.evaluation.results_format import FLAGS
from dualdistill.models.center_head import FIRST_LABEL
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import DataPaths
from dualdistill.seeding import pin
from dualdistill.store.files import write_json
from dualdistill.store.records import NOT_LOSSES
from dualdistill.training.checkpoint import load_state
from dualdistill.training.devices import launch
from dualdistill.training.history import History, reaches
from dualdistill.training.objective import Upstream, build_networks
from dualdistill.training.train import set_up, train_step

STEPS, SAVE_EVERY = 400, 20
FOUND_M = 0.5  # distance of the official matching
WEIGHTS = "weights.pt"
RATES = {"student": 5e-4, "teacher": 1e-3}
log = logging.getLogger("real_frame")


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("row", help="centerpoint or a student without a teacher, e.g. bevdepth-r50")
    parser.add_argument("--frame", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=STEPS, help="stop here; the next call goes on")
    parser.add_argument("--profile", default="nuscenes")
    parser.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    given = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    data = prepare(given.frame, given.work)
    plan = planning.load(given.config, {"profile": given.profile, "masks": "none"})
    spec = plain(plan.run(given.row).spec)
    folder = given.work / given.row
    record = fit(spec, data, folder, min(given.steps, STEPS))
    frame = FittedFrame(spec, data, folder)
    record["as trained"] = frame.found()
    frame.take_statistics()
    record["with the frame's own statistics in BatchNorm"] = frame.found()
    write_json(folder / "report.json", record)
    print(json.dumps(record, indent=1))
    return record


def prepare(frame: Path, work: Path) -> DataPaths:
    """The root of the frame and its index, which the devkit's boxes are compared with."""
    paths = DataPaths(write_root(frame, work / "root"), work / "index.npz", cache=None)
    index_build.build(paths.root, VERSION, {"train": SPLIT, "val": SPLIT}, paths.index)
    return paths


def plain(spec: RunSpec) -> RunSpec:
    """The published network, fitted to one frame: random weights, no augmentation, a constant rate."""
    unaugmented: dict[str, Any] = {
        "resize_jitter": (0.0, 0.0),
        "resize_test": 0.0,
        "image_flip": False,
        "image_rotate_deg": 0.0,
        "bev_rotate_deg": 0.0,
        "bev_scale": (1.0, 1.0),
        "bev_flip": False,
        "scene_start": "current",
    }
    if spec.kind == "teacher":
        unaugmented["paste"] = False
    if isinstance(spec.input, TeacherInputSpec):
        unaugmented["paste"] = False
    constant = {"epochs": float(STEPS), "batch": 1, "lr": RATES[spec.kind], "policy": "step", "steps": ()}
    constant |= {
        "warmup_iters": 0,
        "cbgs": False,
        "ema": 0.0,
        "batch_per_device": None,
    }
    model = replace(spec.model, start="random") if isinstance(spec.model, StudentSpec) else spec.model
    return replace(
        spec,
        data=DataSpec("frame", VERSION, SPLIT, SPLIT, SPLIT),
        input=replace(spec.input, **unaugmented),
        schedule=replace(spec.schedule, **constant),
        model=model,
        threads=1,
    )


def fit(spec: RunSpec, data: DataPaths, folder: Path, steps: int) -> dict[str, Any]:
    """Train up to a step with the suite's own step and checkpoints; leave the weights in weights.pt."""
    folder.mkdir(parents=True, exist_ok=True)
    pin(spec.threads)
    fabric = launch(spec.schedule)
    networks = build_networks(spec, Upstream())
    learner = networks.objective.learner
    feed = frame_batches(spec, data, images=learner.needs_images, points=learner.needs_points)
    state, setup = set_up(spec, folder, fabric, feed, networks)
    seconds = 0.0
    if saved := load_state(folder, spec.sha, partial(reaches, folder)):
        state.restore(saved)
        seconds = saved["seconds"]
    history = History(folder, saved and saved["history"])
    batches = feed.batches(state.step, fabric)
    while state.step < steps:
        started = time.monotonic()
        row = train_step(state, setup, batches)
        seconds += time.monotonic() - started
        history.append(row)
        terms = "  ".join(f"{name} {value:.3f}" for name, value in row.items() if name not in NOT_LOSSES)
        log.info("step %d  %.1f s/step  %s", state.step, seconds / state.step, terms)
        if state.step % SAVE_EVERY == 0 or state.step == steps:
            state.save(setup, seconds, history)
    torch.save(state.weights(), folder / WEIGHTS)
    history.end()
    last = history.path.read_text().splitlines()[-1:]
    pace = round(seconds / max(state.step, 1), 1)
    losses = [json.loads(line) for line in last]
    return {"row": folder.name, "steps": state.step, "seconds_per_step": pace, "losses": losses}


class FittedFrame:
    """The frame with a network that was fitted to it."""

    def __init__(self, spec: RunSpec, data: DataPaths, folder: Path) -> None:
        self.spec, self.data, self.folder = spec, data, folder
        self.network = models.build(spec)
        self.network.load_state_dict(torch.load(folder / WEIGHTS, weights_only=True))
        self.index, self.tables = Index.load(data.index), NuScenes(VERSION, str(data.root), verbose=False)
        images, points = self.network.needs_images, self.network.needs_points
        where = (self.index, data.root, None, SPLIT, spec)
        self.frames = FrameDataset(*where, train=False, images=images, points=points)
        self.batch = collate([self.frames[0]]).to(torch.device("cpu"))

    def take_statistics(self) -> None:
        """Replace the running statistics, which lag behind the weights, by those of the frame."""
        for module in self.network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = 1.0
        self.network.train()
        with torch.no_grad():
            self.network(self.batch)
        self.network.eval()

    def found(self) -> dict[str, Any]:
        """Score the frame officially, and tell found boxes from missed ones by the official matching."""
        results = self.folder / "results_nusc.json"
        poses = predict.lidar_poses(self.index, SPLIT)
        predict.predict(self.network, self.frames, poses, dict.fromkeys(FLAGS, False), results)
        evaluate.evaluate(results, self.data.root, VERSION, SPLIT, self.folder)
        aps = json.loads((self.folder / "metrics_summary.json").read_text())["label_aps"]  # with NaN
        truth, predicted = self._official_boxes(results)
        total = Counter(box.detection_name for box in truth.all)
        matched = {id(box) for name in total for box in matches(truth, predicted, name)}
        counts = Counter(box.detection_name for box in truth.all if id(box) in matched)
        missed = [box for box in truth.all if id(box) not in matched]
        causes = self._causes(missed)
        return {
            "found": f"{len(matched)} of {len(truth.all)}",
            "share": round(len(matched) / len(truth.all), 3),
            "by class": {name: f"{counts[name]} of {total[name]}" for name in CLASSES if total[name]},
            "missed": dict(Counter(causes).most_common()),
            "predicted": len(predicted.all),
            "AP at 0.5 m": {name: round(aps[name][str(FOUND_M)], 3) for name in CLASSES if total[name]},
        }

    def _official_boxes(self, results: Path) -> tuple[EvalBoxes, EvalBoxes]:
        """Annotated and predicted boxes after the filters of the official evaluation."""
        ranges, tokens = config_factory(BENCHMARK).class_range, [row["token"] for row in self.tables.sample]
        truth = load_gt_of_sample_tokens(self.tables, tokens, DetectionBox)
        predicted, _ = load_prediction(str(results), MAX_BOXES, DetectionBox)
        annotated = filter_eval_boxes(self.tables, add_center_dist(self.tables, truth), ranges)
        if not predicted.all:  # the devkit does not filter an empty set
            return annotated, predicted
        return annotated, filter_eval_boxes(self.tables, add_center_dist(self.tables, predicted), ranges)

    def _causes(self, missed: list[DetectionBox]) -> list[str]:
        """Why each box is missed, read from the maps of the head at the cell of its centre."""
        with torch.no_grad():
            predictions = self.network(self.batch).predictions
        grid = self.spec.grid
        cells_K2 = torch.floor((self.batch.boxes_K9[0][:, :2] + grid.half_extent_m) / grid.cell_m).int()
        labels_K, to_lidar = self.batch.labels_K[0], inverse(self.index.record_sensor_to_global[self._lidar])
        causes = []
        for box in missed:
            label = CLASSES.index(box.detection_name)
            task = int(np.searchsorted(FIRST_LABEL, label, side="right")) - 1
            first, names = FIRST_LABEL[task], TASKS[task]
            xy_m = move_points(to_lidar, np.array([box.translation]))[0, :2]
            cell = torch.floor(torch.tensor((xy_m + grid.half_extent_m) / grid.cell_m)).int()
            in_task_K = (labels_K >= first) & (labels_K < first + len(names))
            maps = {name: value[0, :, cell[1], cell[0]] for name, value in predictions[task].items()}
            score = float(maps["heatmap"][label - first].sigmoid())
            centre_m = (cell + maps["reg"]) * grid.cell_m - grid.half_extent_m
            off_m = float(np.linalg.norm(centre_m.numpy() - xy_m))
            if int((in_task_K & (cells_K2 == cell).all(1)).sum()) > 1:
                causes.append("shares its cell with a box of the same head")
            elif score <= self.spec.model.head.score_threshold:
                causes.append("its score is below the threshold")
            elif off_m > FOUND_M:
                causes.append(f"its cell's centre is more than {FOUND_M} m off")
            else:
                causes.append("its cell's box is right and was dropped after the head, by peaks or NMS")
        return causes

    @property
    def _lidar(self) -> int:
        return int(self.index.sample_key_record[0, LIDAR_COLUMN])


def matches(truth: EvalBoxes, predicted: EvalBoxes, name: str) -> list[DetectionBox]:
    """Annotated boxes of a class that the devkit's own matching assigns to a prediction."""
    nearest: dict[int, tuple[float, DetectionBox]] = {}

    def distance(box: DetectionBox, prediction: DetectionBox) -> float:
        gap = float(center_distance(box, prediction))
        if gap < nearest.get(id(prediction), (np.inf,))[0]:
            nearest[id(prediction)] = gap, box
        return gap

    accumulate(truth, predicted, name, distance, FOUND_M)
    return [box for gap, box in nearest.values() if gap < FOUND_M]


if __name__ == "__main__":
    main()
