"""Score predictions with the official nuScenes evaluation, unmodified.

metrics_summary.json and metrics_details.json have the devkit's format; metrics.json is ours, written last.
Imports no torch.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nuscenes import NuScenes
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.common.loaders import add_center_dist, filter_eval_boxes, load_gt_of_sample_tokens
from nuscenes.eval.detection.constants import TP_METRICS
from nuscenes.eval.detection.data_classes import (
    DetectionBox,
    DetectionConfig,
    DetectionMetricData,
    DetectionMetricDataList,
    DetectionMetrics,
)
from nuscenes.eval.detection.evaluate import DetectionEval
from nuscenes.eval.detection.utils import category_to_detection_name
from nuscenes.utils.splits import get_scenes_of_split

from dualdistill.config.nuscenes import BENCHMARK, CLASSES, UNDEFINED_ERRORS
from dualdistill.config.run_spec import RunSpec
from dualdistill.data.index_build import open_root
from dualdistill.errors import CheckpointError, DataError
from dualdistill.evaluation.results_format import check, read_results
from dualdistill.plan.plan import DataPaths
from dualdistill.store.files import atomic_write, sha256_file
from dualdistill.store.lock import run_lock
from dualdistill.store.progress import Progress
from dualdistill.store.provenance import package_versions
from dualdistill.store.records import RESULTS, WEIGHTS, read_run, scores_folder, write_metrics

log = logging.getLogger(__name__)


def run(spec: RunSpec, run_dir: Path, data: DataPaths, split: str = "val") -> dict[str, Any]:
    """Score a run's predictions and record the weights, spec and index they were made with."""
    with run_lock(run_dir / "state"):
        trained, out = read_run(run_dir), scores_folder(run_dir, split)
        Progress("scoring", 0, 0, None).leave(run_dir / "state")
        predicted = read_results(out / RESULTS).get("meta", {})
        weights = trained["outputs"][WEIGHTS]
        if predicted.get("weights_sha256") != weights:
            raise CheckpointError(
                "the predictions were made with other weights than the run's",
                where=str(out / RESULTS),
                hint="predict the run again",
            )
        inputs = {WEIGHTS: weights, "index.npz": sha256_file(data.index)}
        lineage = {"spec_sha": spec.sha, "data": data.index.parent.name}
        version, named = spec.data.version, spec.data.splits()[split]
        return evaluate(out / RESULTS, data.root, version, named, out, inputs=inputs, **lineage)


def evaluate(
    results: Path,
    root: Path,
    version: str,
    split: str,
    out: Path,
    *,
    inputs: dict[str, str] | None = None,
    spec_sha: str = "",
    data: str = "",
) -> dict[str, Any]:
    """Validate, score and write the three metrics files; return the content of metrics.json."""
    tables = open_root(root, version)
    tokens = _tokens(tables, split)
    document = read_results(results)
    box_count = check(document, tokens, str(results))
    log.info("scoring %d boxes in %d samples with the official evaluation", box_count, len(tokens))
    config = config_factory(BENCHMARK)
    notes = []
    if box_count:
        scores, details, ground_truth = _official(tables, config, results, split)
    else:
        notes.append("no box was predicted: the score is zero by definition, without the devkit")
        scores, details = _zero(config)
        ground_truth = _ground_truth(tables, config, tokens)
    notes += _plausibility_notes(scores)
    for note in notes:
        log.warning("%s: %s", results, note)
    summary = scores.serialize() | {"meta": dict(document["meta"])}
    # the devkit's layout; as there, NaN marks an error that is undefined for a class
    atomic_write(out / "metrics_details.json", json.dumps(details.serialize(), indent=2))
    atomic_write(out / "metrics_summary.json", json.dumps(summary, indent=2))
    record = {
        "mean_ap": scores.mean_ap,
        "nd_score": scores.nd_score,
        "tp_errors": {name: _finite(value) for name, value in scores.tp_errors.items()},
        "mean_dist_aps": {name: float(value) for name, value in scores.mean_dist_aps.items()},
        "ground_truth_boxes": {name: ground_truth[name] for name in CLASSES},
        "predicted_boxes": box_count,
        "samples": len(tokens),
        "config": BENCHMARK,
        "version": version,
        "split": split,
        "notes": notes,
        "inputs": {RESULTS: sha256_file(results), **(inputs or {})},
        "spec_sha": spec_sha,
        "data": data,
        "packages": package_versions(("nuscenes-devkit", "numpy")),
    }
    log.info("mAP %.4f, NDS %.4f over %d samples", scores.mean_ap, scores.nd_score, len(tokens))
    return write_metrics(out, record)


def _official(
    tables: NuScenes, config: DetectionConfig, results: Path, split: str
) -> tuple[DetectionMetrics, DetectionMetricDataList, Counter[str]]:
    """The devkit's scores, and the number of ground-truth boxes per class after its filters."""
    # the devkit creates a folder for plots, which stays empty
    with tempfile.TemporaryDirectory() as folder, _quiet():
        evaluation = DetectionEval(tables, config, str(results), split, folder, verbose=False)
        scores, details = evaluation.evaluate()
    return scores, details, Counter(box.detection_name for box in evaluation.gt_boxes.all)


def _zero(config: DetectionConfig) -> tuple[DetectionMetrics, DetectionMetricDataList]:
    """The score of a file without boxes, for which the devkit stops with an error."""
    scores, details = DetectionMetrics(config), DetectionMetricDataList()
    for name in config.class_names:
        for distance in config.dist_ths:
            scores.add_label_ap(name, distance, 0.0)
            details.set(name, distance, DetectionMetricData.no_predictions())
        for error in TP_METRICS:
            scores.add_label_tp(name, error, math.nan if error in UNDEFINED_ERRORS.get(name, ()) else 1.0)
    scores.add_runtime(0.0)
    return scores, details


def _ground_truth(tables: NuScenes, config: DetectionConfig, tokens: list[str]) -> Counter[str]:
    """Ground-truth boxes per class after the devkit's filters, without scoring."""
    with _quiet():
        boxes = add_center_dist(tables, load_gt_of_sample_tokens(tables, tokens, DetectionBox))
        boxes = filter_eval_boxes(tables, boxes, config.class_range)
    return Counter(box.detection_name for box in boxes.all)


def _plausibility_notes(scores: DetectionMetrics) -> list[str]:
    errors = scores.tp_errors
    if scores.mean_ap > 0.2 and errors["scale_err"] > 0.5:
        what = f"mAP {scores.mean_ap:.3f} with a scale error of {errors['scale_err']:.2f}"
        return [f"{what}: centres match but shapes do not; sizes are width, length, height"]
    return []


def _tokens(tables: NuScenes, split: str) -> list[str]:
    """Sample tokens of a split, which must have at least one annotated box of a detection class."""
    where = str(Path(tables.dataroot) / tables.version)
    try:
        scenes = set(get_scenes_of_split(split, tables))
    except ValueError as error:
        raise DataError(str(error), where=where) from error
    names = {row["token"]: row["name"] for row in tables.scene}
    samples = [row for row in tables.sample if names[row["scene_token"]] in scenes]
    annotations = (tables.get("sample_annotation", token) for row in samples for token in row["anns"])
    if not any(category_to_detection_name(row["category_name"]) for row in annotations):
        raise DataError(f"split {split!r} has no annotated box of a detection class", where=where)
    return [row["token"] for row in samples]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
