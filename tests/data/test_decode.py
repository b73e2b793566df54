"""Fast decoding puts everything in the place where exact decoding puts it, at every factor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualdistill.config.run_spec import RunSpec
from dualdistill.data.augment import shrinking
from dualdistill.data.cache import build
from dualdistill.data.dataset import FrameDataset
from dualdistill.data.sensor_files import SensorFiles

SPOTS = ((310.5, 150.5), (72.5, 190.5), (215.5, 121.5))  # u, v of red, green and blue, off every diagonal
RADIUS = 9.0
NEAR_PX = 0.1  # cv2 warps by 32nds of a pixel; half a pixel of the smallest shrinking, unnoticed, is 0.2


@pytest.fixture
def spotted(own_toy):
    """A drive whose images show a disc in each colour."""
    row, column = np.mgrid[:225, :400] + 0.5
    discs = [255 * np.clip(RADIUS + 0.5 - np.hypot(column - u, row - v), 0, 1) for u, v in SPOTS]
    picture = Image.fromarray(np.stack(discs, axis=-1).astype(np.uint8))
    for record, channel in enumerate(own_toy.index.record_channel):
        if channel != 0:
            picture.save(own_toy.root / own_toy.index.path(record), "JPEG", quality=98, subsampling=0)
    return own_toy


def images(toy, student_spec: RunSpec, *, cache: Path | None = None, **changes: object) -> np.ndarray:
    """Images and affines of a training sample."""
    spec = replace(student_spec, input=replace(student_spec.input, **changes))
    data = FrameDataset(toy.index, toy.root, cache, "train", spec, train=True, images=True, points=False)
    cameras = data[(0, 3)].cameras
    pixels = cameras.images_FNCHW[0].movedim(1, -1).numpy()
    return pixels, cameras.image_affine_FN33[0].double().numpy()


@pytest.mark.parametrize(("width", "height", "factor"), [(176, 96, 2), (96, 48, 4), (64, 32, 4), (48, 32, 8)])
def test_spots_lie_where_the_affine_puts_them(
    spotted, student_spec: RunSpec, width: int, height: int, factor: int
) -> None:
    narrow = (-0.01, 0.0)
    size = {"image_width": width, "image_height": height, "image_rotate_deg": 20.0, "resize_jitter": narrow}
    fast, affines = images(spotted, student_spec, decode="fast", **size)
    exact, same = images(spotted, student_spec, decode="exact", **size)
    assert np.array_equal(affines, same)  # the geometry of a batch does not depend on the decoding
    files, record = SensorFiles(spotted.index, spotted.root), int(spotted.index.sample_key_record[0, 1])
    assert {files.shrunk_image(record, shrinking(affine))[1] for affine in affines} == {factor}
    row, column = np.mgrid[:height, :width] + 0.5
    seen = 0
    for picture_HW3, affine_33 in zip(fast, affines, strict=True):
        for colour, spot in enumerate(SPOTS):
            u, v, _ = affine_33 @ (*spot, 1)
            reach = RADIUS * np.sqrt(abs(np.linalg.det(affine_33[:2, :2])))
            if not (reach + 1 < u < width - reach - 1 and reach + 1 < v < height - reach - 1):
                continue
            seen += 1
            weight = picture_HW3[..., colour].astype(float) * (np.hypot(column - u, row - v) < 2 * reach + 2)
            assert (weight * column).sum() / weight.sum() == pytest.approx(u, abs=NEAR_PX)
            assert (weight * row).sum() / weight.sum() == pytest.approx(v, abs=NEAR_PX)
    assert seen >= 4
    assert not np.array_equal(fast, exact)


def test_nothing_is_shrunk_beyond_the_network(spotted, student_spec: RunSpec) -> None:
    wide = {"image_width": 384, "image_height": 208, "resize_jitter": (-0.2, 0.0)}  # 0.76 to 0.96 of the size
    fast, _ = images(spotted, student_spec, decode="fast", **wide)
    exact, _ = images(spotted, student_spec, decode="exact", **wide)
    assert np.array_equal(fast, exact)


def test_fast_pixels_do_not_depend_on_the_cache(spotted, student_spec: RunSpec, tmp_path: Path) -> None:
    build(spotted.index, spotted.root, tmp_path)
    small = {"image_width": 96, "image_height": 48, "decode": "fast"}
    with_cache, _ = images(spotted, student_spec, cache=tmp_path, **small)
    assert np.array_equal(with_cache, images(spotted, student_spec, **small)[0])
