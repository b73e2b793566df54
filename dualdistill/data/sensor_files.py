"""Sensor files as arrays. A damaged file is an error, never grey pixels or half a cloud.

Axes: H W image rows and columns, P points.
"""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from dualdistill.data.index import Index
from dualdistill.errors import DataError

END_OF_JPEG = b"\xff\xd9"
# factor by which decoding shrinks a JPEG -> flag of cv2
SHRUNK = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
POINT_BYTES = 20  # nuScenes stores float32 x, y, z, intensity, ring

Pixels = NDArray[np.uint8]
Points = NDArray[np.float32]


class SensorFiles:
    """Reader of records from the root, which checks each against the index."""

    def __init__(self, index: Index, root: Path) -> None:
        self.index, self.root = index, root

    def image(self, record: int) -> Pixels:
        """An RGB image [H, W, 3] of the size given in the tables."""
        return self.shrunk_image(record, 1)[0]

    def shrunk_image(self, record: int, most: int) -> tuple[Pixels, int]:
        """An RGB image decoded at a fraction of its size, and by which factor: a power of two up to `most`.

        Pixel i of the result stands for the pixels from factor x i to factor x (i + 1). Only JPEG is shrunk.
        """
        path = self.root / self.index.path(record)
        try:
            content = path.read_bytes()
            with Image.open(io.BytesIO(content)) as stored:
                mode, size = stored.mode, stored.size
                pixels, factor = _decoded(stored, content, most)
        except FileNotFoundError as error:
            raise self._damaged(record, path, "the image is missing") from error
        except UnidentifiedImageError as error:
            raise self._damaged(record, path, "the file is not an image") from error
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise self._damaged(record, path, f"the image is damaged, {error}") from error
        if mode != "RGB":
            raise self._damaged(record, path, f"the image has mode {mode}, not RGB")
        expected = (int(self.index.record_width[record]), int(self.index.record_height[record]))
        if size != expected:
            what = (
                f"the image is {size[0]} x {size[1]} pixels and the tables say {expected[0]} x {expected[1]}"
            )
            raise self._damaged(record, path, what)
        return pixels, factor

    def cloud(self, record: int) -> Points:
        """Points [P, 4]: x, y, z in the frame of the LiDAR, intensity 0..255."""
        return self._stored(record)[:, :4].copy()

    def returns(self, record: int) -> Points:
        """Points [P, 5]: as `cloud`, with the ring."""
        return self._stored(record).copy()

    def _stored(self, record: int) -> Points:
        path = self.root / self.index.path(record)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise self._damaged(record, path, "the point cloud is missing") from error
        except OSError as error:
            raise self._damaged(record, path, f"the point cloud cannot be read, {error.strerror}") from error
        size, expected = len(content), int(self.index.record_bytes[record])
        if size == 0 or size % POINT_BYTES:
            what = f"the point cloud has {size} bytes, not a positive multiple of {POINT_BYTES}"
            raise self._damaged(record, path, what)
        if size != expected:
            raise self._damaged(
                record, path, f"the point cloud has {size} bytes and had {expected} when indexed"
            )
        points_P5 = np.frombuffer(content, dtype="<f4").reshape(-1, 5)
        if not np.isfinite(points_P5).all():
            raise self._damaged(record, path, "the point cloud holds values that are not finite")
        return points_P5

    def _damaged(self, record: int, path: Path, what: str) -> DataError:
        return DataError(
            f"{what} ({self.index.describe(record)})",
            where=str(path),
            hint="restore the file from its archive",
        )


def _decoded(stored: Image.Image, content: bytes, most: int) -> tuple[Pixels, int]:
    """The pixels that PIL decodes, by cv2, which takes a quarter less and writes them to an array at once."""
    # cv2 fills a truncated JPEG with grey, where PIL raises
    if stored.format == "JPEG" and stored.mode == "RGB" and content.endswith(END_OF_JPEG):
        factor = max(factor for factor in SHRUNK if factor <= most)
        flags = SHRUNK[factor] | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), flags)
        if pixels is not None:
            cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
            return np.asarray(pixels, dtype=np.uint8), factor
    return np.asarray(stored), 1
