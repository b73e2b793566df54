"""bench/evaluation.py and bench/compare_evaluations.py at a small size: both evaluations agree."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import compare_evaluations
import evaluation
import pytest

from dualdistill.data.ground_truth import GroundTruth
from dualdistill.evaluation.evaluate import evaluate
from dualdistill.evaluation.results_format import FLAGS


def test_both_evaluations_are_measured_and_agree(
    official_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--root", str(official_root), "--work", str(tmp_path / "work"), "--boxes", "12"]
    answers = evaluation.main([*where, "--parts", "exact", "devkit"])
    assert list(answers) == ["predictions", "exact", "devkit"]
    exact, devkit = (re.match(r"NDS \S+, mAP [\d.]+", answers[part]) for part in ("exact", "devkit"))
    assert exact
    assert devkit
    assert exact[0] == devkit[0]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(re.search(r"wall +[\d.]+ s  CPU +[\d.]+ s  peak +[\d.]+ GiB", line) for line in lines)


def test_the_other_parts_run(official_root: Path, tmp_path: Path) -> None:
    bench = evaluation.Bench(official_root, "v1.0-trainval", "val", tmp_path, 12)
    answers = [
        getattr(bench, part)() for part in ("index", "load", "tables", "predictions", "again", "subset")
    ]
    assert all(answers)
    assert answers[2].startswith("6 samples, ")


@pytest.fixture
def results(official_root: Path, tmp_path: Path) -> Path:
    """A results folder with two runs on a root with two scenes, one of them without boxes."""
    folder = tmp_path / "results"
    (folder / "data" / "d").mkdir(parents=True)
    (folder / "data" / "d" / "root").symlink_to(official_root)
    truth = GroundTruth.open(official_root, "v1.0-trainval", "val")
    for run, count in (("some", 40), ("none", 0)):
        (folder / "runs" / run).mkdir(parents=True)
        file = folder / "runs" / run / "results_nusc.json"
        document = {"meta": dict.fromkeys(FLAGS, False)}
        file.write_text(json.dumps(document | {"results": dict(evaluation.random_boxes(truth, count))}))
        evaluate(file, official_root, "v1.0-trainval", "val", file.parent, data="d")
    return folder


def test_all_runs_and_halves_of_their_scenes_are_compared(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare_evaluations.main([str(results)]) <= 1e-9
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("2 runs (1 without boxes) and 2 subsets of scenes: largest difference")


def test_a_difference_ends_the_comparison_with_an_error(results: Path, monkeypatch) -> None:
    monkeypatch.setattr(compare_evaluations, "largest_difference", lambda *figures: 1e-6)
    shutil.rmtree(results / "runs" / "none")
    with pytest.raises(SystemExit, match="more than 1e-09"):
        compare_evaluations.main([str(results)])
