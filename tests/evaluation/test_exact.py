"""The exact evaluation equals the devkit's to 1e-9, on the whole, on subsets of scenes and on hard cases."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.detection.evaluate import DetectionEval
from nuscenes.utils.splits import is_predefined_split, val
from random_tables import RandomRoot, Shape

from dualdistill.config.nuscenes import BENCHMARK, CLASSES
from dualdistill.data.ground_truth import GroundTruth
from dualdistill.data.index_build import open_root
from dualdistill.errors import DataError
from dualdistill.evaluation import evaluate as evaluation
from dualdistill.evaluation import matching
from dualdistill.evaluation.evaluate import evaluate
from dualdistill.evaluation.exact import ExactEvaluation, Figures, _difference, largest_difference
from dualdistill.evaluation.matching import Matches, match
from dualdistill.evaluation.predictions import read_predictions
from dualdistill.store.records import read_metrics

CONFIG = config_factory(BENCHMARK)
VERSION, SPLIT = "v1.0-random", "random_val"


def random_root(folder: Path, seed: int, shape: Shape) -> RandomRoot:
    made = RandomRoot(folder, seed, shape, VERSION, [f"scene-{number}" for number in range(shape.scenes)])
    made.write({SPLIT: made.scenes})
    return made


def by_devkit(root: RandomRoot, document: dict[str, Any], split: str) -> Figures:
    results = root.root / "devkit.json"
    results.write_text(json.dumps(document))
    tables = open_root(root.root, root.version)
    return DetectionEval(
        tables, CONFIG, str(results), split, str(root.root / "out"), verbose=False
    ).evaluate()


def matched(root: RandomRoot, document: dict[str, Any], split: str) -> Matches:
    results = root.root / "exact.json"
    results.write_text(json.dumps(document))
    truth = GroundTruth.open(root.root, root.version, split)
    predictions = read_predictions(results, truth.tokens).predictions
    return match(truth, predictions, CONFIG, follow_file=is_predefined_split(split_name=split))


shapes = st.builds(
    Shape,
    scenes=st.integers(1, 4),
    frames=st.integers(1, 3),
    boxes=st.integers(3, 25),
    predicted=st.integers(1, 60),
    grid=st.booleans(),
    annotated=st.lists(st.sampled_from(CLASSES), min_size=1, unique=True).map(tuple),
    detected=st.lists(st.sampled_from(CLASSES), min_size=1, unique=True).map(tuple),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10**6), shape=shapes)
def test_random_roots_are_scored_as_by_the_devkit(seed: int, shape: Shape) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = random_root(Path(folder), seed, shape)
        counted = {row["instance_token"].split("/")[0] for row in root.annotations} - {"animal"}
        predicted = sum(map(len, root.document["results"].values()))
        assume(counted - {"static_object.bicycle_rack"} and predicted)  # the devkit refuses both
        matches = matched(root, root.document, SPLIT)
        official = by_devkit(root, root.document, SPLIT)
        assert largest_difference(ExactEvaluation(matches, CONFIG).figures(), official) <= 1e-9


@pytest.mark.parametrize("grid", [False, True])
def test_stored_matches_give_the_figures_of_any_subset_of_scenes(tmp_path: Path, grid: bool) -> None:
    root = random_root(tmp_path, 7, Shape(scenes=8, boxes=30, predicted=80, grid=grid))
    matched(root, root.document, SPLIT).save(tmp_path / "matches.npz")
    matches = Matches.load(tmp_path / "matches.npz")
    exact = ExactEvaluation(matches, CONFIG)
    subsets = {f"part_{number}": root.scenes[number : number + 1 + number % 5] for number in range(8)}
    root.write({SPLIT: root.scenes, **subsets})
    seen = set()
    for split, scenes in subsets.items():
        official = by_devkit(root, root.results(scenes), split)
        ours = exact.figures(matches.samples_of(scenes).astype(int))
        assert largest_difference(ours, official) <= 1e-9
        seen.add(official[0].nd_score)
    assert len(seen) == len(subsets)


def test_a_scene_that_counts_twice_is_two_scenes(tmp_path: Path) -> None:
    root = random_root(tmp_path, 3, Shape(scenes=3, boxes=30, predicted=60))
    matches = matched(root, root.document, SPLIT)
    times = np.array([1, 2, 0])[matches.sample_scene]
    rows = np.repeat(np.arange(len(times)), times)
    starts = np.cumsum(times) - times
    kept = np.repeat(np.arange(len(matches.sample)), times[matches.sample])
    copy = np.concatenate([np.arange(count) for count in times[matches.sample]])
    doubled = Matches(
        scene_name=matches.scene_name,
        sample_token=matches.sample_token[rows],
        sample_scene=matches.sample_scene[rows],
        ground_truth_SC=matches.ground_truth_SC[rows],
        sample=starts[matches.sample[kept]] + copy,
        label=matches.label[kept],
        score=matches.score[kept],
        pair_DP=matches.pair_DP[:, kept],
        error_M5=matches.error_M5,
    )
    ours = ExactEvaluation(matches, CONFIG).figures(times)
    assert largest_difference(ours, ExactEvaluation(doubled, CONFIG).figures()) <= 1e-12
    assert largest_difference(ours, ExactEvaluation(matches, CONFIG).figures()) > 1e-3


def test_the_nearest_box_is_chosen_by_the_devkits_own_rounding(tmp_path: Path) -> None:
    offsets = np.random.default_rng(0).uniform(0.1, 1.0, (1000, 2))
    # BLAS may round x² + y² once: then the order of x and y changes the last bit
    norms = [(np.linalg.norm(offset), np.linalg.norm(offset[::-1])) for offset in offsets]
    offset = next(
        (pair for pair, (one, other) in zip(offsets, norms, strict=True) if one > other), offsets[0]
    )
    root = random_root(tmp_path, 0, Shape(scenes=1, frames=1, grid=True, annotated=("car",), predicted=0))
    cars = [row for row in root.annotations if row["instance_token"].startswith("vehicle.car")][:2]
    for car, place in zip(cars, (offset, offset[::-1]), strict=True):
        car |= {"translation": [*place.tolist(), 0.0], "num_lidar_pts": 5}
    cars[1]["size"] = [9.0, 9.0, 9.0]
    root.annotations[:] = cars
    root.write({SPLIT: root.scenes})
    (token,) = root.tokens
    box = {"translation": [0.0, 0.0, 0.0], "size": [2.0, 4.0, 2.0], "rotation": [1.0, 0.0, 0.0, 0.0]}
    named = {"detection_name": "car", "detection_score": 0.5, "attribute_name": "", "velocity": [0.0, 0.0]}
    root.document["results"][token] = [{"sample_token": token, **box, **named}]
    ours = ExactEvaluation(matched(root, root.document, SPLIT), CONFIG).figures()
    assert largest_difference(ours, by_devkit(root, root.document, SPLIT)) <= 1e-9


@pytest.mark.parametrize("grid", [False, True])
def test_an_official_split_is_scored_in_the_order_of_the_file(tmp_path: Path, grid: bool) -> None:
    root = RandomRoot(tmp_path, 11, Shape(boxes=40, predicted=80, grid=grid), "v1.0-trainval", val[:4])
    root.write({})
    shuffled = np.random.default_rng(0).permutation(root.tokens).tolist()
    document = root.document | {"results": {token: root.document["results"][token] for token in shuffled}}
    matches = matched(root, document, "val")
    official = by_devkit(root, document, "val")
    assert largest_difference(ExactEvaluation(matches, CONFIG).figures(), official) <= 1e-9
    in_table_order = largest_difference(by_devkit(root, root.document, "val"), official)
    assert (in_table_order > 1e-6) == grid  # only equal scores depend on the order


def test_five_hundred_boxes_a_sample_are_scored_as_by_the_devkit(tmp_path: Path, monkeypatch) -> None:
    root = random_root(tmp_path, 5, Shape(scenes=2, frames=2, boxes=60, predicted=500))
    for token, boxes in root.document["results"].items():
        root.document["results"][token] = (boxes * 500)[:500]
    monkeypatch.setattr(matching, "PAIRS", 1000)  # several chunks
    official = by_devkit(root, root.document, SPLIT)
    ours = ExactEvaluation(matched(root, root.document, SPLIT), CONFIG).figures()
    assert largest_difference(ours, official) <= 1e-9


def test_a_box_that_is_given_no_points_is_left_out_as_by_the_devkit(tmp_path: Path) -> None:
    root = random_root(tmp_path, 9, Shape(boxes=30, predicted=60))
    for boxes in root.document["results"].values():
        for number, box in enumerate(boxes):
            box["num_pts"] = number % 3
    matches = matched(root, root.document, SPLIT)
    official = by_devkit(root, root.document, SPLIT)
    assert largest_difference(ExactEvaluation(matches, CONFIG).figures(), official) <= 1e-9
    assert len(matches.score) < sum(map(len, root.document["results"].values())) * 0.8


def test_a_large_root_is_scored_without_the_devkit_unless_it_is_asked_for(
    tmp_path: Path, monkeypatch
) -> None:
    root = random_root(tmp_path, 1, Shape(boxes=30, predicted=60))
    results = tmp_path / "results_nusc.json"
    results.write_text(json.dumps(root.document))
    monkeypatch.setattr(evaluation, "DEVKIT_SAMPLES", 0)
    made = {}
    for name, devkit in (("exact", False), ("devkit", True)):
        file = tmp_path / "ground_truth_random_val.npz"
        made[name] = evaluate(
            results, tmp_path, VERSION, SPLIT, tmp_path / name, truth_file=file, devkit=devkit
        )
        assert made[name]["evaluation"] == name
        assert file.exists()
        assert read_metrics(tmp_path / name) == made[name]
    assert made["exact"]["nd_score"] == pytest.approx(made["devkit"]["nd_score"], abs=1e-12)
    assert made["exact"]["ground_truth_boxes"] == made["devkit"]["ground_truth_boxes"]
    for file in ("metrics_summary.json", "metrics_details.json"):
        ours, theirs = (json.loads((tmp_path / name / file).read_text()) for name in made)
        assert _difference(ours, theirs) <= 1e-9


def test_a_difference_to_the_devkit_is_an_error(tmp_path: Path, monkeypatch) -> None:
    root = random_root(tmp_path, 1, Shape(boxes=30, predicted=60))
    results = tmp_path / "results_nusc.json"
    results.write_text(json.dumps(root.document))
    errors = matching._errors
    monkeypatch.setattr(matching, "_errors", lambda *boxes: errors(*boxes) + 1e-6)
    with pytest.raises(DataError, match=r"the exact evaluation is 1\.0e-06 away from the devkit's"):
        evaluate(results, tmp_path, VERSION, SPLIT, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda row: row.update(attribute_tokens=["vehicle.moving", "vehicle.parked"]),
            "more than one attribute",
        ),
        (lambda row: row.update(attribute_tokens=["unheard of"]), "one that is not nuScenes'"),
    ],
)
def test_ground_truth_with_wrong_attributes_is_refused(tmp_path: Path, change, sentence: str) -> None:
    root = random_root(tmp_path, 1, Shape(annotated=("car",)))
    change(next(row for row in root.annotations if row["instance_token"].startswith("vehicle.car")))
    root.write({SPLIT: root.scenes})
    with pytest.raises(DataError, match=sentence):
        GroundTruth.open(root.root, root.version, SPLIT)
