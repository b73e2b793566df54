"""Every kind of invalid prediction is refused before the devkit reads it, and without `assert`."""

import json
import subprocess
import sys

import pytest

from dualdistill.config.nuscenes import CLASSES
from dualdistill.errors import DataError
from dualdistill.evaluation.predictions import read_predictions
from dualdistill.evaluation.results_format import check, read_results
from dualdistill.store.files import sha256_file

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
    "no sample at all": (
        lambda document: document["results"].clear(),
        "3 of the split's 3 samples are missing and 0 are not of the split",
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


@pytest.mark.parametrize("kind", BROKEN)
def test_it_is_refused_by_the_same_sentence_when_it_is_read_for_scoring(tables, kind, tmp_path):
    break_it, sentence = BROKEN[kind]
    document = tables.document()
    break_it(document)
    with pytest.raises(DataError, match=sentence) as caught:
        read_predictions(written(tmp_path, json.dumps(document)), tables.tokens)
    assert str(caught.value).startswith(str(tmp_path / "results_nusc.json: "))
    assert caught.value.exit_code == 3


def written(folder, text):
    path = folder / "results_nusc.json"
    path.write_text(text)
    return path


def test_the_ground_truth_passes_and_is_counted(tables, tmp_path):
    assert check(tables.document(), tables.tokens, "results_nusc.json") == 60
    results = read_predictions(written(tmp_path, json.dumps(tables.document())), tables.tokens)
    assert len(results.predictions.score) == 60


@pytest.mark.parametrize("indent", [None, 2])
def test_columns_hold_the_values_of_the_file(tables, tmp_path, indent):
    document = tables.document()
    box(document).update(translation=[1, 2, 3], detection_score=1, comment={"any": ["field"]})
    results = read_predictions(written(tmp_path, json.dumps(document, indent=indent)), tables.tokens)
    boxes = [entry for boxes in document["results"].values() for entry in boxes]
    columns = results.predictions
    for name, key in (
        ("centre", "translation"),
        ("size_wlh", "size"),
        ("wxyz", "rotation"),
        ("velocity",) * 2,
    ):
        assert getattr(columns, name).tolist() == [entry[key] for entry in boxes]
    assert columns.score.tolist() == [entry["detection_score"] for entry in boxes]
    assert [CLASSES[label] for label in columns.label] == [entry["detection_name"] for entry in boxes]
    assert results.meta == document["meta"]
    assert results.sha256 == sha256_file(tmp_path / "results_nusc.json")


@pytest.mark.parametrize("first", ['{"results": ', '{"results" :\n '])
@pytest.mark.parametrize("repeated", ["[]", None])
def test_a_sample_that_occurs_twice_is_refused(tables, tmp_path, first, repeated):
    text = json.dumps(tables.document())
    for token in tables.tokens:
        boxes = repeated or json.dumps(tables.document()["results"][token])
        again = text.replace('"results": {', f'"results": {{"{token}": {boxes}, ')
        with pytest.raises(DataError, match="a sample occurs twice in 'results'"):
            read_predictions(written(tmp_path, again.replace('{"results": ', first)), tables.tokens)
        again = text.removesuffix("}}") + f', "{token}": {boxes}}}}}'
        with pytest.raises(DataError, match="a sample occurs twice in 'results'"):
            read_predictions(written(tmp_path, again), tables.tokens)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[]", "no 'results' by sample token"),
        ("3", "no 'results' by sample token"),
        ('{"meta": NaN}', "not valid JSON"),
        ('{"meta": {}, "results": {"\\ud800": []}}', "not valid JSON"),
        ('{"meta": {}, "results": {"a": []}}', "'meta' must answer"),
        ('{"meta": {}} {}', "not valid JSON"),
        (None, "does not exist"),
    ],
)
def test_an_unreadable_file_is_refused_when_it_is_read_for_scoring(tables, tmp_path, text, sentence):
    if text is not None:
        written(tmp_path, text)
    with pytest.raises(DataError, match=sentence):
        read_predictions(tmp_path / "results_nusc.json", tables.tokens)


def test_a_number_beyond_the_range_of_floats_is_refused(tables, tmp_path):
    text = json.dumps(tables.document()).replace('"velocity": [', '"velocity": [1e999, ', 1)
    with pytest.raises(DataError, match=r"box 0 of sample \S+ has velocity"):
        read_predictions(written(tmp_path, text), tables.tokens)


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
