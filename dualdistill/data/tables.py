"""Tables of a nuScenes root, read block by block into the fields that are needed.

The devkit holds every row of every table as a dictionary, at full size for minutes and in 8 GB. Rows are
classes here, with the fields that the reader names; msgspec skips all others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from nuscenes.utils.splits import get_scenes_of_split

from dualdistill.data.columns import Integers, Strings
from dualdistill.errors import DataError
from dualdistill.store.files import read_json

NAMES = (
    "attribute",
    "calibrated_sensor",
    "category",
    "ego_pose",
    "instance",
    "log",
    "map",
    "sample",
    "sample_annotation",
    "sample_data",
    "scene",
    "sensor",
    "visibility",
)
BLOCK = 1 << 24  # bytes of text that are decoded at a time
_BETWEEN_ROWS = re.compile(rb"\}\s*,\s*(?=\{)")
_ROW = re.compile(r" - at `\$\[(\d+)\](.*)`$")


class Row(msgspec.Struct, gc=False):
    token: str


class NamedRow(Row):
    """A scene, a category or an attribute."""

    name: str


class SampleRow(Row):
    timestamp: int
    scene_token: str


class SensorRow(Row):
    channel: str


R = TypeVar("R", bound=msgspec.Struct)


class Tables:
    """The thirteen tables of one version in a root."""

    def __init__(self, root: Path, version: str) -> None:
        # the attributes have the devkit's names, because its functions for splits read them
        self.dataroot, self.version = str(root), version
        self.folder = root / version
        if not self.folder.is_dir():
            what = f"there are no tables {version} here"
            raise DataError(what, where=str(root), hint="is this the nuScenes root?")
        if absent := [name for name in NAMES if not (self.folder / f"{name}.json").is_file()]:
            hint = "the set of thirteen tables must be complete"
            raise DataError(f"the table {absent[0]}.json is missing", where=str(self.folder), hint=hint)

    def rows(self, name: str, kind: type[R]) -> list[R]:
        """All rows of a small table."""
        return [row for block in self.blocks(name, kind) for row in block]

    def blocks(self, name: str, kind: type[R]) -> Iterator[list[R]]:
        """Rows of a table in its order, some ten thousand at a time."""
        path, count = self.folder / f"{name}.json", 0
        decoder = msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]
        try:
            with path.open("rb") as stream:
                text, end = stream.read(BLOCK).lstrip(), False
                if not text.startswith(b"["):
                    raise DataError("the table is no JSON array", where=str(path))
                text = text[1:]
                while not end:
                    read = stream.read(BLOCK)
                    text, end = text + read, not read
                    block, text = _decode(decoder, text, end)
                    yield block
                    count += len(block)
        except msgspec.ValidationError as error:
            at = _ROW.search(str(error))
            place = f"row {count + int(at[1])}{at[2]}: " if at else ""
            raise DataError(f"{place}{_ROW.sub('', str(error))}", where=str(path)) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            what, hint = f"the table is not valid JSON: {error}", "was the archive unpacked completely?"
            raise DataError(what, where=str(path), hint=hint) from error

    def scenes_of(self, split: str) -> set[str]:
        """Names of the scenes of a split, by the devkit's list or by splits.json."""
        try:
            return set(get_scenes_of_split(split, self))
        except (ValueError, AssertionError) as error:
            hint = "a root names splits beyond nuScenes' in splits.json"
            raise DataError(f"no split named {split}", where=str(self.folder), hint=hint) from error

    def listed(self) -> dict[str, list[str]]:
        """Scenes by split in splits.json, where a root with part of nuScenes lists those that it has."""
        file = self.folder / "splits.json"
        return read_json(file) if file.is_file() else {}

    def fault(self, name: str, what: str) -> DataError:
        """The error for a table whose content is wrong."""
        return DataError(what, where=str(self.folder / f"{name}.json"))


def _decode(decoder: msgspec.json.Decoder[list[R]], text: bytes, end: bool) -> tuple[list[R], bytes]:
    """Decode the whole rows at the start of a text without its opening bracket; return them and the rest."""
    if end:
        return decoder.decode(b"[" + text), b""
    cuts = list(_BETWEEN_ROWS.finditer(text, max(0, len(text) - (1 << 16))))
    if not cuts:
        return [], text
    try:
        return decoder.decode(b"[" + text[: cuts[-1].start() + 1] + b"]"), text[cuts[-1].end() :]
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return [], text  # the cut went through a row that holds text or rows of this form: read on


def strings(values: Sequence[str]) -> Strings:
    """Tokens, names or paths as bytes, which take a quarter of numpy's unicode."""
    try:
        return np.array([value.encode("ascii") for value in values], dtype=np.bytes_)
    except UnicodeEncodeError as error:
        raise DataError(f"{error.object!r} holds characters beyond ASCII") from error


def places(keys: Strings, wanted: Strings) -> Integers:
    """Row of each wanted token in a column of tokens, -1 where it is absent."""
    if not len(keys):
        return np.full(len(wanted), -1)
    order = np.argsort(keys, kind="stable")
    near = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
    return np.where(keys[near] == wanted, near, -1)
