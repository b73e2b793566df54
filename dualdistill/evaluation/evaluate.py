"""Score predictions by the exact evaluation, and compare it with the devkit's where that is quick.

On a root of up to DEVKIT_SAMPLES samples the devkit's own figures are the record, and the exact evaluation
must equal them; on a larger one they are made on request. metrics_summary.json and metrics_details.json
have the devkit's format; metrics.json is ours, written last. Imports no torch.
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

from nuscenes.eval.common.config import config_factory
from nuscenes.eval.detection.data_classes import DetectionConfig, DetectionMetrics
from nuscenes.eval.detection.evaluate import DetectionEval
from nuscenes.utils.splits import is_predefined_split

from dualdistill.config.nuscenes import BENCHMARK, CLASSES
from dualdistill.config.run_spec import RunSpec
from dualdistill.data.ground_truth import GroundTruth
from dualdistill.data.index_build import DEVKIT_SAMPLES, open_root
from dualdistill.errors import CheckpointError, DataError
from dualdistill.evaluation import scene_draws
from dualdistill.evaluation.exact import ExactEvaluation, Figures, largest_difference
from dualdistill.evaluation.matching import Matches, match
from dualdistill.evaluation.predictions import read_predictions
from dualdistill.plan.plan import DataPaths
from dualdistill.store.files import atomic_write, sha256_file
from dualdistill.store.lock import run_lock
from dualdistill.store.progress import Progress
from dualdistill.store.provenance import package_versions
from dualdistill.store.records import (
    MATCHES,
    RESULTS,
    SCENE_DRAWS,
    WEIGHTS,
    read_run,
    scores_folder,
    write_metrics,
)

log = logging.getLogger(__name__)
EQUAL = 1e-9  # the largest difference between the exact evaluation and the devkit's that rounding explains


def run(
    spec: RunSpec, run_dir: Path, data: DataPaths, split: str = "val", *, devkit: bool = False
) -> dict[str, Any]:
    """Score a run's predictions and record the weights, spec and index they were made with."""
    with run_lock(run_dir / "state"):
        weights, out = read_run(run_dir)["outputs"][WEIGHTS], scores_folder(run_dir, split)
        Progress("scoring", 0, 0, None).leave(run_dir / "state")
        version, named = spec.data.version, spec.data.splits()[split]
        return evaluate(
            out / RESULTS,
            data.root,
            version,
            named,
            out,
            inputs={WEIGHTS: weights, "index.npz": sha256_file(data.index)},
            spec_sha=spec.sha,
            data=data.index.parent.name,
            truth_file=GroundTruth.file(data.index, named),
            devkit=devkit,
        )


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
    truth_file: Path | None = None,
    devkit: bool = False,
) -> dict[str, Any]:
    """Validate, score, write matches, scene draws and metrics files; return the content of metrics.json.

    If `inputs` names weights, the predictions must have been made with them. `devkit` asks for the devkit's
    evaluation on a large root, too.
    """
    truth = GroundTruth.open(root, version, split, truth_file)
    given = read_predictions(results, truth.tokens)
    weights = (inputs or {}).get(WEIGHTS)
    if weights and given.meta.get("weights_sha256") != weights:
        what, hint = "the predictions were made with other weights than the run's", "predict the run again"
        raise CheckpointError(what, where=str(results), hint=hint)
    box_count = len(given.predictions.score)
    log.info("scoring %d boxes in %d samples", box_count, len(truth.sample_token))
    config = config_factory(BENCHMARK)
    matches = match(truth, given.predictions, config, follow_file=is_predefined_split(split_name=split))
    exact, made_by = ExactEvaluation(matches, config), "exact"
    (scores, details), ground_truth = exact.figures(), exact.ground_truth_boxes()
    if box_count and (devkit or int(truth.root_samples[0]) <= DEVKIT_SAMPLES):
        official, counted = _official(root, version, split, config, results)
        _compare((scores, details), official, ground_truth, counted, str(results))
        (scores, details), made_by = official, "devkit"
    notes = _notes(scores, box_count)
    for note in notes:
        log.warning("%s: %s", results, note)
    _save(matches, config, out)
    # the devkit's layout; as there, NaN marks an error that is undefined for a class
    atomic_write(out / "metrics_details.json", json.dumps(details.serialize(), indent=2))
    atomic_write(
        out / "metrics_summary.json", json.dumps(scores.serialize() | {"meta": given.meta}, indent=2)
    )
    log.info("mAP %.4f, NDS %.4f over %d samples", scores.mean_ap, scores.nd_score, len(truth.sample_token))
    record = {
        "evaluation": made_by,
        **_figures(scores),
        "ground_truth_boxes": ground_truth,
        "predicted_boxes": box_count,
        "samples": len(truth.sample_token),
        "config": BENCHMARK,
        "version": version,
        "split": split,
        "notes": notes,
        "inputs": {RESULTS: given.sha256, **(inputs or {})},
        "spec_sha": spec_sha,
        "data": data,
        "packages": package_versions(("nuscenes-devkit", "numpy")),
    }
    return write_metrics(out, record)


def _save(matches: Matches, config: DetectionConfig, out: Path) -> None:
    """Write the matches, and the mAP over draws of scenes that follows from them."""
    matches.save(out / MATCHES)
    scene_draws.of_matches(matches, config).save(out / SCENE_DRAWS)


def _figures(scores: DetectionMetrics) -> dict[str, Any]:
    return {
        "mean_ap": scores.mean_ap,
        "nd_score": scores.nd_score,
        "tp_errors": {name: _finite(value) for name, value in scores.tp_errors.items()},
        "mean_dist_aps": {name: float(value) for name, value in scores.mean_dist_aps.items()},
    }


def _official(
    root: Path, version: str, split: str, config: DetectionConfig, results: Path
) -> tuple[Figures, Counter[str]]:
    """The devkit's figures, and the number of ground-truth boxes per class after its filters."""
    tables = open_root(root, version)
    # the devkit creates a folder for plots, which stays empty
    with tempfile.TemporaryDirectory() as folder, _quiet():
        evaluation = DetectionEval(tables, config, str(results), split, folder, verbose=False)
        figures = evaluation.evaluate()
    return figures, Counter(box.detection_name for box in evaluation.gt_boxes.all)


def _compare(
    ours: Figures, official: Figures, ground_truth: dict[str, int], counted: Counter[str], where: str
) -> None:
    """Refuse figures that are not the devkit's."""
    difference = largest_difference(ours, official)
    if difference > EQUAL or any(counted[name] != ground_truth[name] for name in CLASSES):
        what = f"the exact evaluation is {difference:.1e} away from the devkit's"
        raise DataError(
            what, where=where, hint="a fault of this suite: nothing was written, please report it"
        )


def _notes(scores: DetectionMetrics, box_count: int) -> list[str]:
    """Doubts about the scores, as sentences."""
    if not box_count:
        return ["no box was predicted: the score is zero by definition, without the devkit"]
    errors = scores.tp_errors
    if scores.mean_ap > 0.2 and errors["scale_err"] > 0.5:
        what = f"mAP {scores.mean_ap:.3f} with a scale error of {errors['scale_err']:.2f}"
        return [f"{what}: centres match but shapes do not; sizes are width, length, height"]
    return []


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
