"""Compare the exact evaluation with the devkit's on every run of a results folder.

    python bench/compare_evaluations.py results

Every results_nusc.json beside a metrics.json is scored by both, on all of its scenes and on each half
of them, and the largest difference of any figure or point of a curve is printed. The roots are those of the
world, in results/data, or the folder given by --root.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from nuscenes import NuScenes
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.detection.evaluate import DetectionEval
from nuscenes.utils.splits import is_predefined_split

from dualdistill.config.nuscenes import BENCHMARK
from dualdistill.data.ground_truth import GroundTruth
from dualdistill.data.index_build import open_root
from dualdistill.evaluation.evaluate import EQUAL
from dualdistill.evaluation.exact import ExactEvaluation, largest_difference
from dualdistill.evaluation.matching import match
from dualdistill.evaluation.predictions import read_predictions
from dualdistill.store.records import METRICS_JSON, RESULTS, read_metrics

CONFIG = config_factory(BENCHMARK)
tables_of = cache(open_root)
truth_of = cache(GroundTruth.open)


def halves(scenes: list[str]) -> Iterator[list[str]]:
    """Even and odd scenes, where there are two."""
    if len(scenes) > 1:
        yield scenes[::2]
        yield scenes[1::2]


def devkit_figures(tables: NuScenes, results: Path, split: str) -> Any:
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        return DetectionEval(tables, CONFIG, str(results), split, folder, verbose=False).evaluate()


class SplitOf:
    """The devkit's tables with another split beside its own: some scenes of a root."""

    def __init__(self, tables: NuScenes, folder: Path, scenes: list[str]) -> None:
        self.__dict__.update(vars(tables))
        self.get, self.box_velocity = tables.get, tables.box_velocity
        self.dataroot = str(folder)  # where the devkit looks for splits.json
        (folder / tables.version).mkdir(parents=True)
        (folder / tables.version / "splits.json").write_text(json.dumps({"some": scenes}))


def compare(results: Path, root: Path, version: str, split: str) -> list[float]:
    """Largest difference on all scenes, and on each half."""
    tables, truth = tables_of(root, version), truth_of(root, version, split)
    predictions = read_predictions(results, truth.tokens).predictions
    matches = match(truth, predictions, CONFIG, follow_file=is_predefined_split(split_name=split))
    exact = ExactEvaluation(matches, CONFIG)
    if not len(predictions.score):
        return []  # the devkit refuses a file without boxes
    differences = [largest_difference(exact.figures(), devkit_figures(tables, results, split))]
    document = json.loads(results.read_text())
    scene_of = dict(zip(truth.tokens, truth.sample_scene.tolist(), strict=True))
    for scenes in halves([name.decode() for name in truth.scene_name]):
        chosen = {number for number, name in enumerate(truth.scene_name) if name.decode() in scenes}
        some = {token: boxes for token, boxes in document["results"].items() if scene_of[token] in chosen}
        boxes_S = matches.ground_truth_SC.sum(axis=1)[matches.samples_of(scenes)]
        if not any(some.values()) or not boxes_S.sum():
            continue
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / RESULTS
            part.write_text(json.dumps(document | {"results": some}))
            official = devkit_figures(SplitOf(tables, Path(folder), scenes), part, "some")
        ours = exact.figures(matches.samples_of(scenes).astype(np.int64))
        differences.append(largest_difference(ours, official))
    return differences


def main(words: Sequence[str] | None = None) -> float:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--root", type=Path, help="of a real data set")
    given = parser.parse_args(words)
    runs, worst, subsets, empty = 0, 0.0, 0, 0
    for metrics in sorted(given.results.rglob(METRICS_JSON)):
        record = read_metrics(metrics.parent)
        root = given.root or given.results / "data" / record["data"] / "root"
        differences = compare(metrics.parent / RESULTS, root, record["version"], record["split"])
        print(f"{max(differences, default=0.0):.1e}  {metrics.parent}", flush=True)
        worst = max([worst, *differences])
        runs, subsets, empty = runs + 1, subsets + len(differences[1:]), empty + (not differences)
    print(
        f"{runs} runs ({empty} without boxes) and {subsets} subsets of scenes: largest difference {worst:.1e}"
    )
    if worst > EQUAL:
        raise SystemExit(f"more than {EQUAL:.0e}")
    return worst


if __name__ == "__main__":
    main()
