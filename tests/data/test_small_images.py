"""Resized images show everything at its place, survive a kill, and are refused in any doubt."""

from __future__ import annotations

import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import forked
import numpy as np
import pytest

from dualdistill.config.run_spec import InputSpec, RunSpec
from dualdistill.data import small_images
from dualdistill.data.dataset import FrameDataset
from dualdistill.data.index import LIDAR_COLUMN
from dualdistill.data.sensor_files import SensorFiles
from dualdistill.data.small_images import MANIFEST, SmallImages, build
from dualdistill.errors import DataError, DiskError, UserError

WIDTH = 250  # of 400; the height of 225 gives 140.6


@pytest.fixture(scope="module")
def finished(toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_images, "PER_SHARD", 7)
        build(toy.index, toy.root, WIDTH, folder)
    return folder


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_images, "PER_SHARD", 7)


def test_every_image_is_there_and_smaller(toy, finished: Path) -> None:
    small, files = SmallImages(finished, toy.index, WIDTH), SensorFiles(toy.index, toy.root)
    for record in np.flatnonzero(toy.index.record_channel != LIDAR_COLUMN).tolist():
        picture = small.image(record)
        assert picture.shape == (141, WIDTH, 3)
        whole = files.image(record)
        rows, columns = (np.arange(141) + 0.5) * 225 / 141, (np.arange(WIDTH) + 0.5) * 400 / WIDTH
        there = whole[rows.astype(int)][:, columns.astype(int)]
        assert np.abs(picture.astype(int) - there).mean() < 4  # smooth waves
    small.verify()


def test_samples_have_the_geometry_of_exact_ones(toy, finished: Path, student_spec: RunSpec) -> None:
    def cameras(**changes: object):
        spec = replace(student_spec, input=replace(student_spec.input, **changes))
        where = (toy.index, toy.root, None, "train", spec)
        return FrameDataset(*where, train=True, images=True, points=False, resized=finished)[(1, 2)].cameras

    exact, resized = cameras(), cameras(decode=WIDTH)
    for name in ("image_affine_FN33", "intrinsics_FN33", "depth_Nhw", "owner_Nhw"):
        assert (getattr(exact, name) == getattr(resized, name)).all()
    a, b = (sample.images_FNCHW.int() for sample in (exact, resized))
    assert not (a == b).all()
    shifts = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    gaps = {
        shift: (a - b.roll(shift, (-2, -1)))[..., 2:-2, 2:-2].abs().float().mean().item() for shift in shifts
    }
    assert min(gaps, key=gaps.__getitem__) == (0, 0)


def test_two_workers_write_the_same_bytes_and_a_killed_build_goes_on(toy, finished: Path, tmp_path: Path):
    made = shutil.copytree(finished, tmp_path / "made")
    shards = sorted(made.glob("*.bin"))
    (made / MANIFEST).unlink()
    kept = shards[0].stat().st_mtime_ns
    shards[1].unlink()
    with pytest.raises(DataError, match="never finished"):
        SmallImages(made, toy.index, WIDTH)
    build(toy.index, toy.root, WIDTH, made, workers=2)
    assert shards[0].stat().st_mtime_ns == kept
    for path in finished.iterdir():
        assert (made / path.name).read_bytes() == path.read_bytes()


def test_other_widths_other_indices_and_damage_are_refused(toy, finished: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="250 pixels wide, not 300"):
        SmallImages(finished, toy.index, 300)
    with pytest.raises(DataError, match="belong to another index"):
        SmallImages(finished, replace(toy.index, version=np.array([b"another"])), WIDTH)
    damaged = shutil.copytree(finished, tmp_path / "damaged")
    shard = sorted(damaged.glob("*.bin"))[0]
    content = bytearray(shard.read_bytes())
    content[-20] ^= 1
    shard.write_bytes(content)
    small = SmallImages(damaged, toy.index, WIDTH)
    with pytest.raises(DataError, match="missing or damaged"):
        small.verify()
    shard.unlink()
    with pytest.raises(DataError, match="missing or damaged"):
        small.image(int(toy.index.sample_key_record[0, 1]))


def test_too_little_disk_is_refused_before_anything_is_written(toy, tmp_path: Path, monkeypatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(small_images.shutil, "disk_usage", lambda path: usage(9, 9, 1000))
    with pytest.raises(DiskError, match=r"need about 0\.0 GB and 0\.0 GB are free"):
        build(toy.index, toy.root, WIDTH, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_on_resized_images_with_and_without_loaders(checkout: Path, tmp_path: Path) -> None:
    config = shutil.copytree(checkout / "config", tmp_path / "config")
    profile = config / "profiles" / "smoke.yaml"
    profile.write_text(profile.read_text().replace("cache: true", "cache: false"))
    row = "\nsmall: {from: bevdepth-r50, model.start: random, input.decode: 114, schedule.epochs: 1}\n"
    with (config / "variants.yaml").open("a") as rows:
        rows.write(row)
    where = ["--config", str(config / "config.yaml"), "--profile", "smoke"]

    def call(*words: str, results: Path = tmp_path / "results", code: int = 0) -> str:
        done = forked.run("dualdistill", *words, *where, "--results", str(results), folder=checkout)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    assert "no run reads 'images-99-v1'" in call("images", "images-99-v1", code=2)
    for stage in ("world", "index"):
        call(stage)
    assert "the resized images were never finished" in call("train", "small", code=3)
    assert "GB to write" in call("images", "images-114-v1")
    shutil.copytree(tmp_path / "results", tmp_path / "loaded")
    files = []
    for folder, loaders in (("results", "0"), ("loaded", "2")):
        for stage in ("train", "predict"):
            call(stage, "small", "--set", f"loaders={loaders}", results=tmp_path / folder)
        (run,) = (tmp_path / folder / "runs").glob("bevdepth-r50-*")
        files.append([(run / name).read_bytes() for name in ("model.safetensors", "results_nusc.json")])
    assert files[0] == files[1]


def test_a_width_below_the_need_is_refused(toy) -> None:
    narrow = InputSpec(image_width=176, resize_jitter=(-0.06, 0.11), decode=200)  # of 400: up to 220
    with pytest.raises(UserError, match=r"images of width 200 .* needed, 220"):
        small_images.check_width(toy.index, narrow)
    small_images.check_width(toy.index, replace(narrow, decode=220))
