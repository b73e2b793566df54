"""Finished runs with everything that a bundle holds, made without training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from dualdistill.evaluation.exact import ExactEvaluation
from dualdistill.evaluation.matching import Matches
from dualdistill.evidence.pack import files_in
from dualdistill.evidence.scenes import CONFIG
from dualdistill.evidence.take import each, take
from dualdistill.plan.plan import Plan, Run
from dualdistill.store.files import read_json, sha256_file, write_json
from dualdistill.store.records import read_metrics, write_metrics

SCENES, FRAMES = 3, 2


def random_matches(seed: int, boxes: int = 20) -> Matches:
    """Matches of a few scenes; a pair keeps its number at all thresholds from the first on."""
    random = np.random.default_rng(seed)
    samples = SCENES * FRAMES
    sample = np.repeat(np.arange(samples, dtype=np.int32), boxes)
    matched, first = random.random(len(sample)) < 0.4, random.integers(0, 4, len(sample))
    place_P = np.cumsum(matched) - 1
    pair_DP = [np.where(matched & (first <= step), place_P, -1) for step in range(4)]
    error_M5 = random.random((matched.sum(), 5))
    error_M5[:, 4] = np.where(random.random(len(error_M5)) < 0.3, np.nan, error_M5[:, 4] < 0.5)
    return Matches(
        scene_name=np.array([f"scene-{number}".encode() for number in range(SCENES)]),
        sample_token=np.array([f"sample-{number}".encode() for number in range(samples)]),
        sample_scene=np.repeat(np.arange(SCENES, dtype=np.int32), FRAMES),
        ground_truth_SC=np.full((samples, 10), 3, dtype=np.int32),
        sample=sample,
        label=random.integers(0, 10, len(sample)).astype(np.int32),
        score=random.random(len(sample)).astype(np.float32).astype(np.float64),
        pair_DP=np.array(pair_DP, dtype=np.int32),
        error_M5=error_M5,
    )


def history(steps: int) -> str:
    """As training writes it; every third step overflowed and has no gradient norm."""
    rows = [
        {"step": step, "lr": 0.1 / step, "loss": 1.0} | ({"grad_norm": 2.0} if step % 3 else {})
        for step in range(1, steps + 1)
    ]
    return "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)


def complete(plan: Plan, run: Run) -> None:
    """Give a run of `leave_run` matches that have its scores, a history, and a machine."""
    folder, scores = plan.folder(run), plan.scores(run)
    matches = random_matches(seed=int(run.id[-6:], 16))
    matches.save(scores / "matches.npz")
    figures, _ = ExactEvaluation(matches, CONFIG).figures()
    record = read_metrics(scores) | {"mean_ap": figures.mean_ap, "nd_score": figures.nd_score}
    write_metrics(scores, record)
    (folder / "history.jsonl").write_text(history(steps=10))
    trained = read_json(folder / "run.json")
    trained["outputs"]["history.jsonl"] = sha256_file(folder / "history.jsonl")
    trained["provenance"] |= {"host": "night", "time": "2026-01-02T03:04:05+00:00"}
    write_json(folder / "run.json", trained)


def take_all(plan: Plan, folder: Path) -> Iterator[str]:
    """Take in all bundles of a folder."""
    return each(files_in([folder]), partial(take, plan))


def elsewhere(plan: Plan, results: Path) -> Plan:
    """The same plan with its results in another folder."""
    index = results / plan.paths.index.relative_to(plan.results)
    return replace(plan, results=results, runs=dict(plan.runs), paths=replace(plan.paths, index=index))
