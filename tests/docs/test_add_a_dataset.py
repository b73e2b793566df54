"""Following docs/add-a-dataset.md works: root, profile, index, training and scores."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from printed import commands, run_command

from dualdistill.data.batch import Detections
from dualdistill.data.geometry import points_in_box
from dualdistill.data.index import LIDAR_COLUMN, Index
from dualdistill.data.sensor_files import SensorFiles
from dualdistill.evaluation.evaluate import evaluate
from dualdistill.evaluation.predict import lidar_poses, to_nuscenes
from dualdistill.evaluation.results_format import FLAGS

PAGE = "docs/add-a-dataset.md"
VERSION, SPLIT = "v1.0-lab", "lab_val"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def lab(copy: Path) -> Path:
    """The copy with the page's script and profile, its root and index."""
    page = (copy / PAGE).read_text()
    (script,), (data, virtual) = blocks(page, "python"), blocks(page, "yaml")
    (copy / "write_root.py").write_text(script)
    profiles = copy / "config" / "profiles"
    text = (profiles / "smoke.yaml").read_text()
    for pattern, new in ((r"^data:\n(?:  .*\n)+", data), (r"^    virtual:\n(?:      .*\n)+", virtual)):
        text, count = re.subn(pattern, lambda _, new=new: new, text, flags=re.MULTILINE)
        assert count == 1
    (profiles / "lab.yaml").write_text(text)
    for line in commands(copy / PAGE)[:2]:
        run_command(copy, line)
    return copy


@pytest.fixture(scope="module")
def index(lab: Path) -> Index:
    (path,) = (lab / "results" / "data").glob("*/index.npz")
    return Index.load(path)


def test_the_script_passes_ruff(lab: Path) -> None:
    words = ["ruff", "check", "--select", "E,F,I,UP,B", "--line-length", "120", "write_root.py"]
    done = subprocess.run(words, cwd=lab, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_all_tables_are_indexed(index: Index) -> None:
    assert len(index.sample_token) == 4 * 3
    assert len(index.record_path) == 4 * 3 * (6 + 2)
    assert all(len(index.samples(split)) == 3 for split in ("train", "dev", "val", "pretrain"))
    assert min(index.counts("val").values()) == 3


def test_every_annotated_point_lies_in_its_box(lab: Path, index: Index) -> None:
    files = SensorFiles(index, lab / "data" / "lab")
    for sample in range(len(index.sample_token)):
        points_P3 = files.cloud(int(index.sample_key_record[sample, LIDAR_COLUMN]))[:, :3].astype(float)
        grown_K9 = index.boxes(sample) + np.array([0, 0, 0, 1e-3, 1e-3, 1e-3, 0, 0, 0])
        counts = [points_in_box(box_9, points_P3).sum() for box_9 in grown_K9]
        assert (counts >= index.annotation_lidar_points[index.annotations(sample)]).all()


def test_ground_truth_boxes_score_1(lab: Path, index: Index, tmp_path: Path) -> None:
    poses, results = lidar_poses(index, SPLIT), {}
    for sample in index.samples(SPLIT):
        token, rows = index.token(sample), index.annotations(sample)
        boxes_K9 = torch.as_tensor(index.boxes(sample), dtype=torch.float32)
        labels_K = torch.as_tensor(index.annotation_label[rows].astype(np.int64))
        # scores differ, because among equal scores the devkit uses the errors of a single box
        scores_K = 1 - (torch.arange(len(labels_K)) + 20.0 * len(results)) / 100
        results[token] = to_nuscenes(Detections(boxes_K9, scores_K, labels_K), poses[token], token)
    document = {"meta": dict.fromkeys(FLAGS, False), "results": results}
    (tmp_path / "results_nusc.json").write_text(json.dumps(document))
    root = lab / "data" / "lab"
    metrics = evaluate(tmp_path / "results_nusc.json", root, VERSION, SPLIT, tmp_path)
    assert metrics["mean_ap"] == pytest.approx(1.0, abs=1e-6)
    assert metrics["nd_score"] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_other_commands_train_and_score_a_teacher(lab: Path) -> None:
    for line in commands(lab / PAGE)[2:]:
        run_command(lab, line)
    (path,) = (lab / "results" / "runs").glob("centerpoint-*/metrics.json")
    metrics = json.loads(path.read_text())
    assert (metrics["version"], metrics["split"], metrics["samples"]) == (VERSION, SPLIT, 3)
