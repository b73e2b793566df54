"""Measure the index and both evaluations on a nuScenes root of any size, side by side, with peak memory.

    python bench/evaluation.py --root ROOT --work FOLDER --boxes 300 --parts index exact again subset devkit

The predictions are made at random: half of them stand about a metre beside an annotated box, the others
anywhere, and scores are random. Each part runs in a process of its own and prints a line.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nuscenes import NuScenes
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.detection.evaluate import DetectionEval

from dualdistill.config.nuscenes import ATTRIBUTES, BENCHMARK, CLASSES
from dualdistill.data import index_build
from dualdistill.data.ground_truth import GroundTruth
from dualdistill.data.index import Index
from dualdistill.evaluation.evaluate import evaluate
from dualdistill.evaluation.exact import ExactEvaluation
from dualdistill.evaluation.matching import Matches
from dualdistill.evaluation.results_format import FLAGS
from dualdistill.store.records import MATCHES, RESULTS

SUBSETS = 10  # of half of the scenes


@dataclass(frozen=True)
class Bench:
    """Where things are."""

    root: Path
    version: str
    split: str
    work: Path
    boxes: int

    @property
    def results(self) -> Path:
        return self.work / f"{self.boxes}" / RESULTS

    @property
    def truth(self) -> Path:
        return GroundTruth.file(self.work / "index.npz", self.split)

    def predictions(self) -> str:
        """Write the random predictions."""
        truth = GroundTruth.open(self.root, self.version, self.split, self.truth)
        self.results.parent.mkdir(exist_ok=True)
        with self.results.open("w") as stream:
            stream.write(f'{{"meta": {json.dumps(dict.fromkeys(FLAGS, False))}, "results": {{')
            for number, (token, boxes) in enumerate(random_boxes(truth, self.boxes)):
                stream.write(f"{', ' if number else ''}{json.dumps(token)}: {json.dumps(boxes)}")
            stream.write("}}")
        return f"{self.results.stat().st_size / 1e6:.0f} MB"

    def index(self) -> str:
        """Build the index."""
        splits = {"train": "train", "dev": self.split, "val": self.split} if self.split == "val" else {}
        index_build.build(self.root, self.version, splits or {"val": self.split}, self.work / "index.npz")
        return f"{(self.work / 'index.npz').stat().st_size / 1e6:.1f} MB"

    def load(self) -> str:
        """Load the index."""
        return f"{len(Index.load(self.work / 'index.npz').record_path)} records"

    def tables(self) -> str:
        """Read the ground truth from the tables."""
        self.truth.unlink(missing_ok=True)
        truth = GroundTruth.open(self.root, self.version, self.split, self.truth)
        return f"{len(truth.sample_token)} samples, {len(truth.box_label)} boxes"

    def exact(self) -> str:
        """Evaluate exactly, with the ground truth from the tables."""
        self.truth.unlink(missing_ok=True)
        return self.again()

    def again(self) -> str:
        """Evaluate exactly, with the ground truth from its file."""
        where = (self.results, self.root, self.version, self.split, self.results.parent)
        made = evaluate(*where, truth_file=self.truth)
        stored = (self.results.parent / MATCHES).stat().st_size / 1e6
        return f"NDS {made['nd_score']:.12f}, mAP {made['mean_ap']:.12f}, matches {stored:.1f} MB"

    def subset(self) -> str:
        """Figures of ten halves of the scenes, from stored matches."""
        matches = Matches.load(self.results.parent / MATCHES)
        exact, random = ExactEvaluation(matches, config_factory(BENCHMARK)), np.random.default_rng(0)
        scenes = [name.decode() for name in matches.scene_name]
        started = time.perf_counter()
        for _ in range(SUBSETS):
            chosen = matches.samples_of(random.permutation(scenes)[: len(scenes) // 2].tolist())
            exact.figures(chosen.astype(int))
        return f"{(time.perf_counter() - started) / SUBSETS:.2f} s a subset"

    def devkit(self) -> str:
        """Open the root and evaluate with the devkit alone."""
        started = time.perf_counter()
        tables = NuScenes(self.version, str(self.root), verbose=False)
        opened = time.perf_counter() - started
        with tempfile.TemporaryDirectory() as folder:
            where = (tables, config_factory(BENCHMARK), str(self.results), self.split, folder)
            with contextlib.redirect_stderr(io.StringIO()):  # progress bars
                scores, _ = DetectionEval(*where, verbose=False).evaluate()
        return f"NDS {scores.nd_score:.12f}, mAP {scores.mean_ap:.12f}, of it {opened:.1f} s for the tables"


def random_boxes(truth: GroundTruth, count: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Boxes of each sample in turn."""
    random = np.random.default_rng(0)
    borders = np.searchsorted(truth.box_sample, np.arange(len(truth.sample_token) + 1))
    for sample, token in enumerate(truth.tokens):
        near = random.integers(borders[sample], max(borders[sample + 1], borders[sample] + 1), count)
        near = np.minimum(near, len(truth.box_label) - 1)
        far = random.random(count) < 0.5
        centre = truth.box_centre[near] + random.normal(size=(count, 3))
        centre[far] = truth.sample_ego[sample] + random.uniform(-55, 55, (int(far.sum()), 3)) * (1, 1, 0.02)
        label = np.where(far, random.integers(len(CLASSES), size=count), truth.box_label[near])
        size = truth.box_size_wlh[near] * random.uniform(0.8, 1.2, (count, 3))
        angle, score = random.uniform(-np.pi, np.pi, count), random.random(count)
        velocity = random.normal(size=(count, 2))
        yield (
            token,
            [
                {
                    "sample_token": token,
                    "translation": centre[k].tolist(),
                    "size": size[k].tolist(),
                    "rotation": [float(np.cos(angle[k] / 2)), 0.0, 0.0, float(np.sin(angle[k] / 2))],
                    "velocity": velocity[k].tolist(),
                    "detection_name": CLASSES[label[k]],
                    "detection_score": float(score[k]),
                    "attribute_name": (ATTRIBUTES[CLASSES[label[k]]] or ("",))[0],
                }
                for k in range(count)
            ],
        )


def measure(bench: Bench, part: str, answers: Any) -> None:
    """Run a part; send back its answer with seconds and memory."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = getattr(bench, part)()
    seconds = time.perf_counter() - wall, time.process_time() - cpu
    answers.put((*seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, answer))


def main(words: Sequence[str] | None = None) -> dict[str, str]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--version", default="v1.0-trainval")
    parser.add_argument("--split", default="val")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--boxes", type=int, default=300, help="a sample")
    parts = [name for name, value in vars(Bench).items() if callable(value) and not name.startswith("_")]
    parser.add_argument("--parts", nargs="+", choices=parts, required=True)
    given = vars(parser.parse_args(words))
    wanted = given.pop("parts")
    bench = Bench(**given)
    bench.work.mkdir(parents=True, exist_ok=True)
    context, answered = multiprocessing.get_context("spawn"), {}
    for part in wanted if bench.results.exists() else ["predictions", *wanted]:
        answers = context.SimpleQueue()
        process = context.Process(target=measure, args=(bench, part, answers))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{part} failed")
        wall, cpu, peak, answered[part] = answers.get()
        print(
            f"{part:12} wall {wall:6.1f} s  CPU {cpu:6.1f} s  peak {peak:5.2f} GiB  {answered[part]}",
            flush=True,
        )
    return answered


if __name__ == "__main__":
    main()
