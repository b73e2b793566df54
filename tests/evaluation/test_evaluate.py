"""The official evaluation on hand-made tables."""

import json
import logging
import math
import subprocess
import sys

import pytest
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.detection.constants import TP_METRICS
from nuscenes.eval.detection.data_classes import DetectionMetrics

from dualdistill.config.nuscenes import CLASSES
from dualdistill.errors import DataError
from dualdistill.evaluation.evaluate import evaluate
from dualdistill.store.files import sha256_file
from dualdistill.store.records import read_metrics


def score(tables, document, folder, **lineage):
    results = folder / "results_nusc.json"
    folder.mkdir(exist_ok=True)
    results.write_text(json.dumps(document))
    return evaluate(results, tables.root, tables.version, tables.split, folder, **lineage)


def changed(tables, change):
    document = tables.document()
    for boxes in document["results"].values():
        for box in boxes:
            change(box)
    return document


def test_the_ground_truth_as_predictions_scores_one(tables, tmp_path):
    metrics = score(tables, tables.document(), tmp_path)
    assert metrics["mean_ap"] == pytest.approx(1.0, abs=1e-9)
    assert metrics["nd_score"] == pytest.approx(1.0, abs=1e-9)
    assert metrics["predicted_boxes"] == sum(metrics["ground_truth_boxes"].values()) == 60
    assert metrics["samples"] == 3
    assert metrics["notes"] == []


def test_boxes_shifted_three_metres_count_at_the_four_metre_threshold_only(tables, tmp_path):
    def shift(box):
        box["translation"][0] += 3.0

    metrics = score(tables, changed(tables, shift), tmp_path)
    by_distance = json.loads((tmp_path / "metrics_summary.json").read_text())["label_aps"]
    for name in CLASSES:
        assert [by_distance[name][distance] for distance in ("0.5", "1.0", "2.0")] == [0, 0, 0]
        assert by_distance[name]["4.0"] == pytest.approx(1.0)
    assert metrics["mean_ap"] == pytest.approx(0.25)
    assert metrics["tp_errors"] == dict.fromkeys(TP_METRICS, 1.0)


def test_no_box_at_all_scores_zero_in_the_format_of_the_devkit(tables, tmp_path, caplog):
    empty = tables.document()
    empty["results"] = {token: [] for token in tables.tokens}
    with caplog.at_level(logging.WARNING):
        nothing = score(tables, empty, tmp_path / "none")
    perfect = score(tables, tables.document(), tmp_path / "all")
    assert nothing["mean_ap"] == nothing["nd_score"] == 0.0
    assert set(nothing["tp_errors"].values()) == {1.0}
    assert "no box was predicted" in nothing["notes"][0]
    assert "no box was predicted" in caplog.text
    assert nothing["ground_truth_boxes"] == perfect["ground_truth_boxes"]
    for file in ("metrics_summary.json", "metrics_details.json", "metrics.json"):
        ours, theirs = (json.loads((tmp_path / folder / file).read_text()) for folder in ("none", "all"))
        assert skeleton(ours) == skeleton(theirs)


def skeleton(value):
    if isinstance(value, dict):
        return {key: skeleton(part) for key, part in value.items() if key != "notes"}
    # the devkit marks an error that a class does not have by NaN
    return "nan" if isinstance(value, float) and math.isnan(value) else "value"


def test_swapped_width_and_length_are_noted(tables, tmp_path, caplog):
    def turn(box):
        box["size"][:2] = box["size"][1::-1]

    metrics = score(tables, changed(tables, turn), tmp_path)
    assert metrics["mean_ap"] == pytest.approx(1.0)
    assert metrics["tp_errors"]["scale_err"] > 0.5
    assert "shapes do not" in metrics["notes"][0]
    assert "shapes do not" in caplog.text


def test_metrics_record_the_files_they_were_computed_from(tables, tmp_path):
    lineage = {"inputs": {"model.safetensors": "ab" * 32}, "spec_sha": "cd" * 32, "data": "world-12"}
    document = tables.document()
    document["meta"]["weights_sha256"] = "ab" * 32
    metrics = score(tables, document, tmp_path, **lineage)
    assert metrics["inputs"]["results_nusc.json"] == sha256_file(tmp_path / "results_nusc.json")
    assert metrics["inputs"]["model.safetensors"] == "ab" * 32
    assert (metrics["spec_sha"], metrics["data"]) == ("cd" * 32, "world-12")
    assert metrics["packages"]["nuscenes-devkit"] == "1.2.0"
    assert read_metrics(tmp_path) == metrics


def test_evaluating_twice_writes_the_same_bytes_and_leaves_nothing_else(tables, tmp_path, capfd):
    for folder in ("one", "two"):
        score(tables, tables.document(), tmp_path / folder)
    first, second = ((tmp_path / folder / "metrics.json").read_bytes() for folder in ("one", "two"))
    assert first == second
    names = {path.name for path in (tmp_path / "one").iterdir()}
    metrics = {"metrics.json", "metrics_summary.json", "metrics_details.json"}
    assert names == {"results_nusc.json", "matches.npz", "scene_draws.npz", *metrics}
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("version", "split", "sentence"),
    [
        ("v1.0-none", "hand_val", "there are no tables v1.0-none"),
        ("v1.0-hand", "other", "no split named other"),
        ("v1.0-hand", "hand_none", "no annotated box"),
    ],
)
def test_a_wrong_version_or_split_is_refused(tables, tmp_path, version, split, sentence):
    (tmp_path / "results_nusc.json").write_text(json.dumps(tables.document()))
    with pytest.raises(DataError, match=sentence):
        evaluate(tmp_path / "results_nusc.json", tables.root, version, split, tmp_path)
    assert not (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize(
    ("mean_ap", "errors", "nd_score"),
    [
        (0.3929, (0.6216, 0.2571, 0.4407, 0.3622, 0.2099), 0.5073),
        (0.3855, (0.6319, 0.7053, 1.5835, 0.3415, 0.1991), 0.4050),
        (0.3589, (0.6119, 0.2692, 0.5074, 0.4086, 0.2009), 0.4797),
    ],
)
def test_published_scores_satisfy_the_formula_of_the_devkit(mean_ap, errors, nd_score):
    config = config_factory("detection_cvpr_2019")
    metrics = DetectionMetrics(config)
    for name in config.class_names:
        for distance in config.dist_ths:
            metrics.add_label_ap(name, distance, mean_ap)
        for error, value in zip(TP_METRICS, errors, strict=True):
            metrics.add_label_tp(name, error, value)
    assert metrics.nd_score == pytest.approx(nd_score, abs=1e-4)


@pytest.mark.parametrize("module", ["dualdistill.evaluation.evaluate", "dualdistill.report.renderers"])
def test_scores_and_tables_need_no_torch(module):
    program = f"import sys, {module}; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "False"
