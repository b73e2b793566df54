"""The cache equals the files, and is refused in any doubt."""

from __future__ import annotations

import json
import pickle
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualdistill.config.nuscenes import LIDAR
from dualdistill.data.cache import MANIFEST, POINTS, Cache, build
from dualdistill.data.sensor_files import SensorFiles
from dualdistill.errors import DataError, DiskError
from dualdistill.store.files import sha256_file


@pytest.fixture(scope="module")
def finished(toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    build(toy.index, toy.root, folder)
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy that the test may damage."""
    return shutil.copytree(finished, tmp_path / "cache")


def test_the_cache_equals_the_files(toy, finished: Path) -> None:
    cache, files = Cache(finished, toy.index), SensorFiles(toy.index, toy.root)
    for record in range(len(toy.index.record_path)):
        if toy.index.channel(record) == LIDAR:
            assert (cache.cloud(record) == files.cloud(record)).all()
        else:
            assert (cache.image(record) == files.image(record)).all()
    cache.verify()


def test_two_workers_write_the_same_bytes_as_one(toy, finished: Path, tmp_path: Path) -> None:
    build(toy.index, toy.root, tmp_path, workers=2)
    names = sorted(path.name for path in finished.iterdir())
    assert names == sorted(path.name for path in tmp_path.iterdir())
    assert [sha256_file(finished / name) for name in names] == [
        sha256_file(tmp_path / name) for name in names
    ]


def test_images_of_different_sizes_are_kept_apart(own_toy, tmp_path: Path) -> None:
    index = own_toy.index
    odd = int(index.sample_key_record[0, 3])
    height = index.record_height.copy()
    height[odd] = 100
    resized = replace(index, record_height=height)
    Image.new("RGB", (400, 100), (9, 8, 7)).save(own_toy.root / index.path(odd), "JPEG")
    build(resized, own_toy.root, tmp_path)
    cache, files = Cache(tmp_path, resized), SensorFiles(resized, own_toy.root)
    assert cache.image(odd).shape == (100, 400, 3)
    for record in index.sample_key_record[:, 1:].ravel():
        assert (cache.image(record) == files.image(record)).all()


def test_a_cache_of_another_index_is_refused(toy, finished: Path) -> None:
    moved = toy.index.annotation_centre.copy()
    moved[0, 0] += 1e-6
    with pytest.raises(DataError, match="belongs to another index"):
        Cache(finished, replace(toy.index, annotation_centre=moved))


def test_an_unfinished_cache_is_refused(toy, copied: Path) -> None:
    (copied / MANIFEST).unlink()
    with pytest.raises(DataError, match="never finished"):
        Cache(copied, toy.index)


def test_a_truncated_array_is_refused(toy, copied: Path) -> None:
    content = (copied / POINTS).read_bytes()
    (copied / POINTS).write_bytes(content[:-4])
    with pytest.raises(DataError, match=r"points\.npy.*another size"):
        Cache(copied, toy.index)


def test_a_cache_of_another_schema_is_refused(toy, copied: Path) -> None:
    manifest = json.loads((copied / MANIFEST).read_text())
    (copied / MANIFEST).write_text(json.dumps({**manifest, "schema": 99}))
    with pytest.raises(DataError, match="schema 99"):
        Cache(copied, toy.index)


def test_verify_detects_a_flipped_bit(toy, copied: Path) -> None:
    content = bytearray((copied / POINTS).read_bytes())
    content[-5] ^= 1
    (copied / POINTS).write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        Cache(copied, toy.index).verify()


def test_a_damaged_file_leaves_no_finished_cache_behind(own_toy, tmp_path: Path) -> None:
    build(own_toy.index, own_toy.root, tmp_path)
    (own_toy.root / own_toy.index.path(int(own_toy.index.sample_key_record[1, 4]))).write_bytes(b"")
    for workers in (1, 2):
        with pytest.raises(DataError, match="CAM_BACK_LEFT of sample token1"):
            build(own_toy.index, own_toy.root, tmp_path, workers=workers)
        assert not (tmp_path / MANIFEST).exists()


def test_pickling_a_cache_does_not_copy_its_arrays(toy, finished: Path) -> None:
    cache = Cache(finished, toy.index)
    fresh = len(pickle.dumps(cache))
    cache.image(int(toy.index.sample_key_record[0, 1]))
    assert len(pickle.dumps(cache)) == fresh
    again = pickle.loads(pickle.dumps(cache))
    record = int(toy.index.sample_key_record[1, 1])
    assert np.array_equal(again.image(record), cache.image(record))


def test_a_full_disk_is_reported(toy, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(DiskError, match="cannot write the cache"):
            build(toy.index, toy.root, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / MANIFEST).exists()
