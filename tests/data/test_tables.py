"""Reading of tables in blocks, and tables that are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualdistill.data import tables
from dualdistill.data.annotations import AnnotationRow, read_annotations
from dualdistill.data.index_build import build
from dualdistill.data.sensor_records import RecordRow
from dualdistill.data.tables import NamedRow, SampleRow, Tables, places, strings
from dualdistill.errors import DataError

VERSION = "v1.0-world"
SPLITS = {"val": "world_val"}
Rows = list[dict[str, Any]]


@pytest.fixture
def root(world, tmp_path: Path) -> Path:
    """A root whose tables a test may damage."""
    (tmp_path / "root").mkdir()
    shutil.copytree(world.root / VERSION, tmp_path / "root" / VERSION)
    for name in ("samples", "sweeps", "maps"):
        (tmp_path / "root" / name).symlink_to(world.root / name)
    return tmp_path / "root"


def change(root: Path, name: str, edit: Callable[[Rows], object]) -> None:
    path = root / VERSION / f"{name}.json"
    rows = json.loads(path.read_text())
    edit(rows)
    path.write_text(json.dumps(rows))


@pytest.mark.parametrize("block", [64, 1000, 1 << 24])
@pytest.mark.parametrize("indent", [None, 2])
def test_every_row_is_read_whatever_the_size_of_a_block(
    root: Path, monkeypatch, block: int, indent: int | None
) -> None:
    path = root / VERSION / "sample_data.json"
    rows = json.loads(path.read_text())
    rows[1]["filename"] = 'odd},{"name": [{}, {}]'  # a row that looks like the border of two
    path.write_text(json.dumps(rows, indent=indent))
    monkeypatch.setattr(tables, "BLOCK", block)
    read = Tables(root, VERSION).rows("sample_data", RecordRow)
    for row, written in zip(read, rows, strict=True):
        assert (row.token, row.filename, row.prev) == (written["token"], written["filename"], written["prev"])


@pytest.mark.parametrize("text", ["[]", " [ ] \n"])
def test_an_empty_table_has_no_rows(root: Path, text: str) -> None:
    (root / VERSION / "scene.json").write_text(text)
    assert Tables(root, VERSION).rows("scene", NamedRow) == []


@pytest.mark.parametrize(
    ("name", "edit", "sentence"),
    [
        ("sample_annotation", lambda rows: rows[3].pop("prev"), r"sample_annotation.json: row 3: .*`prev`"),
        ("sample_annotation", lambda rows: rows[5].update(size=[1, 2]), r"row 5\.size: .*length 3"),
        ("sample_annotation", lambda rows: rows[1].update(next="gone"), r"next of annotation \w+ is not in"),
        ("sample_annotation", lambda rows: rows[1].update(instance_token="?"), "has an unknown instance"),
        ("sample_annotation", lambda rows: rows[1].update(sample_token="?"), "has an unknown sample"),
        ("instance", lambda rows: rows[0].update(category_token="?"), "has an unknown category"),
        ("calibrated_sensor", lambda rows: rows[0].update(sensor_token="?"), "has an unknown sensor"),
        ("sample_data", lambda rows: rows[-1].update(calibrated_sensor_token="?"), "unknown calibration"),
        ("sample_data", lambda rows: rows[-1].update(prev=rows[0]["token"]), "prev is not the record before"),
        ("sample_data", lambda rows: rows[-1].update(filename="\u00e9.jpg"), "beyond ASCII"),
        ("ego_pose", lambda rows: rows.pop(), r"ego_pose.json: the pose \w+ is missing"),
        (
            "sample",
            lambda rows: rows.clear(),
            "no sample belongs to the splits world_val|has an unknown sample",
        ),
    ],
)
def test_a_table_with_this_fault_is_refused(
    root: Path, tmp_path: Path, name: str, edit: Callable[[Rows], object], sentence: str
) -> None:
    change(root, name, edit)
    with pytest.raises(DataError, match=sentence):
        build(root, VERSION, SPLITS, tmp_path / "index.npz")
    assert not (tmp_path / "index.npz").exists()


@pytest.mark.parametrize("damage", [lambda text: text[: len(text) // 2], lambda text: "", lambda text: "{}"])
def test_a_truncated_table_is_refused(root: Path, tmp_path: Path, damage: Callable[[str], str]) -> None:
    path = root / VERSION / "sample_data.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match=r"sample_data\.json: the table is (not valid JSON|no JSON array)"):
        build(root, VERSION, SPLITS, tmp_path / "index.npz")


def test_a_sample_without_a_key_frame_is_refused(root: Path, tmp_path: Path) -> None:
    change(root, "sample_data", lambda rows: [row.update(is_key_frame=False) for row in rows])
    with pytest.raises(DataError, match=r"sample \w+ has no LIDAR_TOP key frame"):
        build(root, VERSION, SPLITS, tmp_path / "index.npz")


def test_velocities_equal_those_of_the_devkit(world) -> None:
    read = Tables(world.root, VERSION)
    samples = read.rows("sample", SampleRow)
    annotations = read_annotations(read, samples, np.arange(len(samples)))
    assert len(annotations.token) == len(read.rows("sample_annotation", AnnotationRow))
    for token, velocity in zip(annotations.token, annotations.velocity, strict=True):
        assert np.array_equal(velocity, world.nusc.box_velocity(token.decode()), equal_nan=True)
    assert np.isfinite(annotations.velocity).any()


def test_places_of_tokens() -> None:
    keys = strings(["b", "a", "long"])
    assert places(keys, strings(["long", "c", "a", ""])).tolist() == [2, -1, 1, -1]
    assert places(strings([]), keys).tolist() == [-1, -1, -1]
