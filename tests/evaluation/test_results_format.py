"""Every kind of invalid prediction is refused before the devkit reads it, and without `assert`."""

import json
import subprocess
import sys

import pytest

from dualdistill.errors import DataError
from dualdistill.evaluation.results_format import check, read_results

TOKEN = "scene-val-0"


def box(document):
    return document["results"][TOKEN][0]


def drop_sample(document):
    del document["results"]["scene-val-1"]


def add_sample(document):
    document["results"]["scene-train-0"] = []


def crowd(document):
    document["results"][TOKEN] = [box(document)] * 501


def put(field, value):
    return lambda document: box(document).__setitem__(field, value)


BROKEN = {
    "a translation that is NaN": (
        put("translation", [0.0, float("nan"), 0.0]),
        "has translation .*nan.*, not 3 finite",
    ),
    "an infinite velocity": (put("velocity", [float("inf"), 0.0]), "has velocity .*inf.*, not 2 finite"),
    "a coordinate too few": (put("translation", [0.0, 0.0]), "not 3 finite numbers"),
    "a number that is text": (put("size", ["1", 1.0, 1.0]), "not 3 finite numbers"),
    "a score above one": (put("detection_score", 1.7), "has score 1.7, not in 0..1"),
    "a score that is NaN": (put("detection_score", float("nan")), "has score nan"),
    "a flat box": (put("size", [1.0, 0.0, 1.0]), "not above zero"),
    "a negative size": (put("size", [1.0, -2.0, 1.0]), "not above zero"),
    "a zero quaternion": (put("rotation", [0.0, 0.0, 0.0, 0.0]), "not a unit quaternion"),
    "an unknown class": (put("detection_name", "tram"), "unknown class 'tram'"),
    "a cone that moves": (
        put("detection_name", "traffic_cone"),
        "attribute 'vehicle.moving', which a traffic_cone cannot",
    ),
    "a token that is not its key": (
        put("sample_token", "scene-val-2"),
        "belongs to sample scene-val-2",
    ),
    "a missing field": (lambda document: box(document).pop("velocity"), "lacks 'velocity'"),
    "501 boxes": (crowd, f"sample {TOKEN} has 501 boxes, 500 are allowed"),
    "a missing sample": (
        drop_sample,
        "1 of the split's 3 samples are missing and 0 are not of the split, first scene-val-1",
    ),
    "an extra sample": (
        add_sample,
        "0 of the split's 3 samples are missing and 1 are not of the split, first scene-train-0",
    ),
    "no list of boxes": (lambda document: document["results"].update({TOKEN: 3}), "holds int where a list"),
    "no results": (lambda document: document.pop("results"), "no 'results' by sample token"),
    "no meta flags": (lambda document: document["meta"].pop("use_radar"), "'meta' must answer"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_results_file_with_this_fault_is_refused(tables, kind):
    break_it, sentence = BROKEN[kind]
    document = tables.document()
    break_it(document)
    with pytest.raises(DataError, match=sentence) as caught:
        check(document, tables.tokens, "results_nusc.json")
    assert str(caught.value).startswith("results_nusc.json: ")
    assert caught.value.exit_code == 3


def test_the_ground_truth_passes_and_is_counted(tables):
    assert check(tables.document(), tables.tokens, "results_nusc.json") == 60


def test_a_box_without_attribute_passes(tables):
    document = tables.document()
    box(document)["attribute_name"] = ""
    assert check(document, tables.tokens, "here") == 60


@pytest.mark.parametrize(("text", "sentence"), [("{", "not valid JSON"), (None, "does not exist")])
def test_an_unreadable_file_is_refused(tmp_path, text, sentence):
    if text is not None:
        (tmp_path / "results_nusc.json").write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_results(tmp_path / "results_nusc.json")


def test_faults_are_refused_without_asserts_too(tables, tmp_path):
    document = tables.document()
    box(document)["detection_score"] = 1.7
    (tmp_path / "results_nusc.json").write_text(json.dumps(document))
    program = f"""
from pathlib import Path
from dualdistill.errors import DataError
from dualdistill.evaluation.evaluate import evaluate
folder, root = Path({str(tmp_path)!r}), Path({str(tables.root)!r})
try:
    evaluate(folder / "results_nusc.json", root, {tables.version!r}, {tables.split!r}, folder)
except DataError as error:
    raise SystemExit(error.exit_code)
"""
    done = subprocess.run([sys.executable, "-O", "-c", program], capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert not (tmp_path / "metrics.json").exists()
