"""Errors for damaged sensor files name the file, the sample and the sensor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualdistill.data.sensor_files import SensorFiles
from dualdistill.errors import DataError


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def halve_on_a_point_boundary(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: 20 * (path.stat().st_size // 40)])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()


def append_three_bytes(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"abc")


def put_a_nan(path: Path) -> None:
    points = np.fromfile(path, dtype="<f4")
    points[7] = np.nan
    points.tofile(path)


def make_smaller(path: Path) -> None:
    Image.new("RGB", (40, 30)).save(path, "JPEG")


def make_cmyk(path: Path) -> None:
    Image.new("CMYK", (400, 225)).save(path, "JPEG")


def make_16_bit(path: Path) -> None:
    Image.new("I;16", (400, 225)).save(path, "PNG")


def fill_with_text(path: Path) -> None:
    path.write_text("404 not found")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (halve, "damaged"),
        (empty, "not an image"),
        (remove, "missing"),
        (make_smaller, "40 x 30"),
        (make_cmyk, "CMYK"),
        (make_16_bit, "I;16"),
        (fill_with_text, "not an image"),
    ],
)
def test_a_damaged_image_is_reported_by_name(own_toy, damage, words: str) -> None:
    record = int(own_toy.index.sample_key_record[1, 2])
    path = own_toy.root / own_toy.index.path(record)
    damage(path)
    with pytest.raises(DataError) as caught:
        SensorFiles(own_toy.index, own_toy.root).image(record)
    sentence = caught.value.sentence()
    assert words in sentence
    assert str(path) in sentence
    assert "CAM_FRONT of sample token1" in sentence


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (halve, "bytes"),
        (halve_on_a_point_boundary, "500 bytes and had 1000"),
        (append_three_bytes, "1003 bytes"),
        (empty, "0 bytes"),
        (put_a_nan, "not finite"),
        (remove, "missing"),
    ],
)
def test_a_damaged_cloud_is_reported_by_name(own_toy, damage, words: str) -> None:
    record = int(own_toy.index.sample_key_record[1, 0]) - 1  # a sweep between the key frames
    path = own_toy.root / own_toy.index.path(record)
    damage(path)
    with pytest.raises(DataError) as caught:
        SensorFiles(own_toy.index, own_toy.root).cloud(record)
    sentence = caught.value.sentence()
    assert words in sentence
    assert str(path) in sentence
    assert "LIDAR_TOP of sample token1" in sentence


def test_intact_files_are_read_unchanged(own_toy) -> None:
    index, files = own_toy.index, SensorFiles(own_toy.index, own_toy.root)
    lidar, camera = (int(record) for record in index.sample_key_record[0, :2])
    stored = np.fromfile(own_toy.root / index.path(lidar), dtype="<f4").reshape(-1, 5)
    assert (files.cloud(lidar) == stored[:, :4]).all()
    image = files.image(camera)
    assert image.shape == (225, 400, 3)
    assert image.dtype == np.uint8
    assert (
        image[..., 2].astype(int)[200, 100] > image[..., 2].astype(int)[20, 100] + 150
    )  # rows grow downwards, blue last


@pytest.mark.parametrize(
    "options",
    [
        {"quality": 95},
        {"quality": 40, "subsampling": 2},
        {"quality": 75, "progressive": True},
        {"quality": 90, "subsampling": 0},
    ],
)
def test_pixels_are_those_that_pil_decodes(own_toy, options: dict[str, object]) -> None:
    record = int(own_toy.index.sample_key_record[1, 2])
    path = own_toy.root / own_toy.index.path(record)
    noise_HW3 = np.random.default_rng(0).integers(0, 256, (225, 400, 3), dtype=np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6  # cameras write it; PIL and this suite leave pixels where they are
    Image.fromarray(noise_HW3).save(path, "JPEG", exif=turned, **options)
    expected_HW3 = np.asarray(Image.open(path))
    assert np.array_equal(SensorFiles(own_toy.index, own_toy.root).image(record), expected_HW3)
    path.write_bytes(path.read_bytes() + b"after the end")
    assert np.array_equal(SensorFiles(own_toy.index, own_toy.root).image(record), expected_HW3)


def test_real_pixels_are_those_that_pil_decodes(own_toy, real_frame) -> None:
    index = own_toy.index
    record = int(index.sample_key_record[0, 1])
    full = replace(
        index,
        record_width=np.full_like(index.record_width, 1600),
        record_height=np.full_like(index.record_height, 900),
    )
    for image in real_frame.images:
        path = own_toy.root / index.path(record)
        path.unlink()
        path.symlink_to(image)
        pixels_HW3 = SensorFiles(full, own_toy.root).image(record)
        assert np.array_equal(pixels_HW3, np.asarray(Image.open(image)))
