"""The database holds what a loop over frames and boxes finds, whatever the number of workers."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dualdistill.config.run_spec import GridSpec, MVPSpec, RunSpec, TeacherInputSpec, TeacherSpec
from dualdistill.data.geometry import points_in_box
from dualdistill.data.index import LIDAR_COLUMN
from dualdistill.data.lidar_sweeps import choose_sweeps, load_sweeps
from dualdistill.data.pasted_objects import build
from dualdistill.data.pasted_objects.build import MIN_POINTS, make
from dualdistill.data.pasted_objects.reader import ObjectDatabase
from dualdistill.data.sensor_files import SensorFiles
from dualdistill.data.virtual_points.reader import VirtualClouds, cloud_path
from dualdistill.errors import DataError
from dualdistill.plan.identity import objects_id
from dualdistill.store.files import read_json, write_json


@pytest.fixture(scope="session")
def teacher(student_spec: RunSpec) -> RunSpec:
    """Three sweeps in training, hence four in the database."""
    return replace(
        student_spec, kind="teacher", model=TeacherSpec(), input=TeacherInputSpec(sweeps=3), grid=GridSpec()
    )


@pytest.fixture(scope="session")
def folder(toy, teacher: RunSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared and read-only."""
    made = tmp_path_factory.mktemp("objects")
    make(toy.index, toy.root, teacher, None, made)
    return made


def test_the_database_holds_every_object_of_the_training_split_with_enough_points(
    toy, teacher: RunSpec, folder: Path
) -> None:
    index, files = toy.index, SensorFiles(toy.index, toy.root)
    database, number, left_out = ObjectDatabase(folder, index), 0, 0
    for sample in index.samples("train"):
        key = int(index.sample_key_record[sample, LIDAR_COLUMN])
        points = load_sweeps(index, choose_sweeps(index, key, 4), files.cloud)
        rows = index.annotations(int(sample))
        for box_9, label in zip(index.boxes(int(sample)), index.annotation_label[rows], strict=True):
            inside = points[points_in_box(box_9, points[:, :3])]
            if len(inside) < MIN_POINTS:
                left_out += 1
                continue
            assert np.allclose(database.boxes_O9[number], box_9)
            assert database.labels_O[number] == label
            assert np.array_equal(database.points(number), inside)
            number += 1
    assert number == len(database.labels_O) > 5
    assert left_out > 5
    database.verify()
    ages = np.concatenate([database.points(number)[:, 4] for number in range(len(database.labels_O))])
    assert {0.0, 0.375} < {round(float(age), 3) for age in ages}
    assert sum(read_json(folder / "objects.json")["objects"].values()) == number


def test_objects_without_a_counted_point_are_not_cut(
    toy, teacher: RunSpec, folder: Path, tmp_path: Path
) -> None:
    none = np.zeros_like(toy.index.annotation_lidar_points)
    unseen = replace(toy.index, annotation_lidar_points=none)
    make(unseen, toy.root, teacher, None, tmp_path)
    assert len(ObjectDatabase(tmp_path, unseen).labels_O) == 0
    assert ObjectDatabase(tmp_path, unseen)._points_PI.shape == (0, 5)


def test_workers_do_not_change_the_bytes(toy, teacher: RunSpec, folder: Path, tmp_path: Path) -> None:
    make(toy.index, toy.root, teacher, None, tmp_path, workers=2)
    for name in ("objects.npz", "points.bin", "objects.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_an_interrupted_build_goes_on_with_its_intact_parts(
    toy, teacher: RunSpec, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "CHUNK", 1)
    root = shutil.copytree(toy.root, tmp_path / "root")
    last = root / toy.index.path(int(toy.index.sample_key_record[3, LIDAR_COLUMN]))
    whole, out = last.read_bytes(), tmp_path / "objects"
    last.write_bytes(whole[:100])
    with pytest.raises(DataError, match="the point cloud has 100 bytes"):
        make(toy.index, root, teacher, None, out)
    parts = sorted(out.glob("parts-*/*.npz"))
    assert [part.name for part in parts] == ["0.npz", "1.npz", "2.npz"]
    # the first is not read again, the second is damaged and made again
    (root / toy.index.path(int(toy.index.sample_key_record[0, LIDAR_COLUMN]))).unlink()
    damaged = bytearray(parts[1].read_bytes())
    damaged[len(damaged) // 2] ^= 1
    parts[1].write_bytes(damaged)
    last.write_bytes(whole)
    with pytest.raises(DataError, match="the point cloud is missing"):
        make(toy.index, root, replace(teacher, input=replace(teacher.input, sweeps=4)), None, tmp_path / "a")
    make(toy.index, root, teacher, None, out)
    for name in ("objects.npz", "points.bin", "objects.json"):
        assert (out / name).read_bytes() == (folder / name).read_bytes()
    assert not list(out.glob("parts-*"))


def test_objects_of_mvp_hold_their_painted_and_virtual_points(
    toy, teacher: RunSpec, folder: Path, tmp_path: Path
) -> None:
    """One virtual point in the middle of the first box of the last training frame."""
    index, virtual = toy.index, tmp_path / "virtual"
    sample = int(index.samples("train")[-1])
    key, centre = int(index.sample_key_record[sample, LIDAR_COLUMN]), index.boxes(sample)[0, :3]
    for record in np.flatnonzero(index.record_channel == LIDAR_COLUMN):
        path = cloud_path(virtual, index, int(record))
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [[*centre, -1, 3, 0.5]] * 6 if record == key else np.zeros((0, 6))
        np.save(path, np.array(rows, dtype=np.float32))
    write_json(virtual / "virtual.json", {"schema": 1, "index_sha": index.sha})
    make(index, toy.root, replace(teacher, model=MVPSpec()), virtual, tmp_path / "objects")
    database = ObjectDatabase(tmp_path / "objects", index)
    assert database.columns == 17
    first = int(np.flatnonzero((database.boxes_O9[:, :3] == centre).all(axis=1))[0])
    added = database.points(first)[database.points(first)[:, 15] == -1]
    assert len(added) == 6
    assert np.allclose(added[0], [*centre, -1, *np.eye(10)[3], 0.5, -1, 0], atol=1e-5)
    clouds = VirtualClouds(virtual, index, SensorFiles(index, toy.root).cloud)
    assert database.points(first).shape[1] == clouds.cloud(key).shape[1] + 1


def test_a_degraded_teacher_pastes_degraded_objects(
    toy, teacher: RunSpec, folder: Path, tmp_path: Path
) -> None:
    for record in np.flatnonzero(toy.index.record_channel == LIDAR_COLUMN):
        path = tmp_path / toy.index.path(int(record))
        path.parent.mkdir(parents=True, exist_ok=True)
        np.floor(SensorFiles(toy.index, toy.root).returns(int(record))).astype("<f4").tofile(path)
    degraded = replace(teacher, input=TeacherInputSpec(sweeps=3, every_ring=2))
    ids = {objects_id(spec) for spec in (teacher, degraded, replace(teacher, model=MVPSpec()))}
    assert len(ids) == 3
    make(toy.index, tmp_path, degraded, None, tmp_path / "objects")
    points = [ObjectDatabase(made, toy.index)._points_PI for made in (folder, tmp_path / "objects")]
    assert 0 < len(points[1]) < len(points[0])


def test_unfinished_foreign_or_damaged_objects_are_refused(
    toy, teacher: RunSpec, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="the objects to paste were never finished"):
        ObjectDatabase(tmp_path, toy.index)
    with pytest.raises(DataError, match="the objects to paste belong to another index or version"):
        ObjectDatabase(folder, replace(toy.index, version=np.array([b"another"])))
    for name in ("objects.json", "objects.npz", "points.bin"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    content = bytearray((folder / "points.bin").read_bytes())
    content[100] ^= 1
    (tmp_path / "points.bin").write_bytes(content)
    with pytest.raises(DataError, match="the objects to paste are missing or damaged"):
        ObjectDatabase(tmp_path, toy.index).verify()
    for name in ("points.bin", "objects.npz"):
        (tmp_path / name).write_bytes((folder / name).read_bytes()[:-8])
        with pytest.raises(DataError, match="the objects to paste are missing or damaged"):
            ObjectDatabase(tmp_path, toy.index)
