"""From a world to official scores: index, ground truth in LiDAR frames, results, evaluation."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from nuscenes import NuScenes

from dualdistill import models
from dualdistill.config.nuscenes import CLASSES
from dualdistill.config.run_spec import RunSpec
from dualdistill.config.world import WorldSpec
from dualdistill.data import index_build
from dualdistill.data.batch import Detections
from dualdistill.data.ground_truth import GroundTruth
from dualdistill.data.index import Index
from dualdistill.errors import CheckpointError
from dualdistill.evaluation import evaluate as evaluation
from dualdistill.evaluation import predict
from dualdistill.evaluation.evaluate import evaluate, run
from dualdistill.evaluation.matching import Matches
from dualdistill.evaluation.predict import lidar_poses, to_nuscenes
from dualdistill.evaluation.results_format import FLAGS
from dualdistill.plan import plan
from dualdistill.plan.plan import DataPaths
from dualdistill.store.files import read_json, sha256_file, write_json
from dualdistill.store.records import MATCHES, RESULTS, read_metrics
from dualdistill.training.checkpoint import save_weights
from dualdistill.world.nuscenes.build import build_world

SMALL = WorldSpec(
    train_scenes=1,
    dev_scenes=1,
    val_scenes=2,
    frames_per_scene=3,
    image_height=45,
    image_width=80,
    lidar_azimuths=180,
)
VERSION, SPLIT = "v1.0-world", "world_val"
CONFIG = Path(__file__).parents[2] / "config" / "config.yaml"


@dataclass(frozen=True)
class World:
    paths: DataPaths
    index: Index
    attributes: dict[str, list[str]]  # by sample token, in the order of the index


@pytest.fixture(scope="module")
def small_world(tmp_path_factory) -> World:
    folder = tmp_path_factory.mktemp("world")
    paths = DataPaths(folder / "root", folder / "index.npz", None)
    build_world(SMALL, paths.root, 1)
    index_build.build(
        paths.root, VERSION, {"val": SPLIT, "dev": "world_dev", "train": "world_train"}, paths.index
    )
    tables = NuScenes(VERSION, str(paths.root), verbose=False)
    index = Index.load(paths.index)
    instance = {token.decode(): row for row, token in enumerate(index.instance_token)}
    attributes = {}
    for sample in index.samples("val"):
        rows = [
            tables.get("sample_annotation", token)
            for token in tables.get("sample", index.token(sample))["anns"]
        ]
        names = {
            instance[row["instance_token"]]: "".join(
                tables.get("attribute", token)["name"] for token in row["attribute_tokens"]
            )
            for row in rows
            if row["instance_token"] in instance
        }
        attributes[index.token(sample)] = [
            names[row] for row in index.annotation_instance[index.annotations(sample)]
        ]
    return World(paths, index, attributes)


def perfect_results(small: World, shift_m: float = 0.0) -> dict:
    """Ground truth with points as LiDAR-frame detections, converted to a results document."""
    index, poses = small.index, lidar_poses(small.index, SPLIT)
    results = {}
    for number, sample in enumerate(index.samples("val")):
        token, rows = index.token(sample), index.annotations(sample)
        has_points = index.has_points()[rows]
        boxes = np.nan_to_num(index.boxes(sample)[has_points])
        boxes[:, 0] += shift_m
        # all scores differ: among ties the devkit uses the errors of a single box
        scores = 1 - (np.arange(len(boxes)) + 500 * number) / 10000
        labels = index.annotation_label[rows][has_points]
        detections = Detections(
            *map(torch.as_tensor, (boxes.astype(np.float32), scores, labels.astype(np.int64)))
        )
        results[token] = to_nuscenes(detections, poses[token], token)
        # speed alone does not determine the attribute: use the annotated one
        for entry, attribute in zip(
            results[token], np.array(small.attributes[token])[has_points], strict=True
        ):
            entry["attribute_name"] = str(attribute)
    return {"meta": dict.fromkeys(FLAGS, False), "results": results}


def score(small: World, document: dict, folder: Path) -> dict:
    (folder / RESULTS).write_text(json.dumps(document))
    return evaluate(folder / RESULTS, small.paths.root, VERSION, SPLIT, folder)


def test_perfect_predictions_score_one_on_the_world(small_world, tmp_path):
    metrics = score(small_world, perfect_results(small_world), tmp_path)
    assert min(metrics["ground_truth_boxes"].values()) > 0
    assert metrics["mean_ap"] == pytest.approx(1.0, abs=1e-9)
    assert metrics["nd_score"] == pytest.approx(1.0, abs=1e-4)


def test_predictions_three_metres_off_lose_all_but_the_four_metre_threshold(small_world, tmp_path):
    score(small_world, perfect_results(small_world, shift_m=3.0), tmp_path)
    aps = json.loads((tmp_path / "metrics_summary.json").read_text())["label_aps"]
    for name in CLASSES:
        near = [aps[name][distance] for distance in ("0.5", "1.0", "2.0")]
        # a neighbour of the same class may stand where the box was moved to
        assert max(near) < 0.35
        assert aps[name]["4.0"] > 0.5


@pytest.fixture
def untrained(small_world, tmp_path) -> tuple[RunSpec, Path]:
    """A run's folder as a training leaves it, with fresh weights."""
    planned = plan.load(CONFIG, {"profile": "smoke"})
    spec = next(run.spec for run in planned.runs.values() if run.spec.kind == "teacher")
    # fresh weights find boxes everywhere; a higher threshold leaves fewer for the slow rotated NMS
    model = replace(spec.model, head=replace(spec.model.head, score_threshold=0.11))
    spec = replace(spec, data=replace(spec.data, world=SMALL), model=model, threads=1)
    folder = tmp_path / "run"
    folder.mkdir()
    torch.manual_seed(0)
    save_weights(folder / "model.safetensors", models.build(spec).state_dict())
    outputs = {"model.safetensors": sha256_file(folder / "model.safetensors")}
    write_json(folder / "run.json", {"schema": 1, "spec_sha": spec.sha, "outputs": outputs})
    return spec, folder


def test_an_untrained_teacher_is_predicted_and_scored_with_its_lineage(small_world, untrained):
    spec, folder = untrained
    predict.run(spec, folder, small_world.paths)
    document = read_json(folder / RESULTS)
    assert set(document["results"]) == set(small_world.attributes)
    assert document["meta"]["use_lidar"] is True
    assert document["meta"]["use_camera"] is False
    metrics = run(spec, folder, small_world.paths)
    assert metrics == read_metrics(folder)
    assert metrics["predicted_boxes"] > 0
    assert 0 <= metrics["mean_ap"] < 0.1
    assert metrics["inputs"] == {
        name: sha256_file(path)
        for name, path in {
            RESULTS: folder / RESULTS,
            "model.safetensors": folder / "model.safetensors",
            "index.npz": small_world.paths.index,
        }.items()
    }


def test_a_run_on_a_large_root_is_scored_exactly_and_by_the_devkit_on_request(
    small_world, untrained, monkeypatch
):
    spec, folder = untrained
    predict.run(spec, folder, small_world.paths)
    assert run(spec, folder, small_world.paths)["evaluation"] == "devkit"
    monkeypatch.setattr(evaluation, "DEVKIT_SAMPLES", 0)
    exact = run(spec, folder, small_world.paths)
    by_devkit = run(spec, folder, small_world.paths, devkit=True)
    assert (exact["evaluation"], by_devkit["evaluation"]) == ("exact", "devkit")
    assert exact["nd_score"] == pytest.approx(by_devkit["nd_score"], abs=1e-12)
    assert exact["inputs"] == by_devkit["inputs"]
    truth = GroundTruth.load(GroundTruth.file(small_world.paths.index, SPLIT))
    assert Matches.load(folder / MATCHES).sample_token.tolist() == truth.sample_token.tolist()


def test_the_dev_split_is_scored_in_a_folder_of_its_own(small_world, untrained):
    spec, folder = untrained
    predict.run(spec, folder, small_world.paths, "dev")
    metrics = run(spec, folder, small_world.paths, "dev")
    assert metrics == read_metrics(folder / "dev")
    assert (metrics["split"], metrics["samples"]) == ("world_dev", SMALL.dev_scenes * SMALL.frames_per_scene)
    assert not set(read_json(folder / "dev" / RESULTS)["results"]) & set(small_world.attributes)
    assert not list(folder.glob("*nusc.json")) + list(folder.glob("metrics*"))


def test_predicting_twice_writes_the_same_bytes(small_world, untrained):
    spec, folder = untrained
    first = predict.run(spec, folder, small_world.paths).read_bytes()
    assert predict.run(spec, folder, small_world.paths).read_bytes() == first


def test_weights_that_differ_from_run_json_are_refused(small_world, untrained):
    spec, folder = untrained
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"the weights differ from what run\.json recorded"):
        predict.run(spec, folder, small_world.paths)
    assert not (folder / RESULTS).exists()


def test_a_run_of_another_spec_is_refused(small_world, untrained):
    spec, folder = untrained
    with pytest.raises(CheckpointError, match="trained with another spec"):
        predict.run(replace(spec, seed=spec.seed + 1), folder, small_world.paths)


def test_predictions_of_other_weights_are_not_scored(small_world, untrained):
    spec, folder = untrained
    predict.run(spec, folder, small_world.paths)
    record = read_json(folder / "run.json")
    record["outputs"]["model.safetensors"] = "0" * 64
    write_json(folder / "run.json", record)
    with pytest.raises(CheckpointError, match="made with other weights"):
        run(spec, folder, small_world.paths)
