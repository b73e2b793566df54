"""results_nusc.json as columns, parsed once: checked while it is read, sample by sample.

The text of each sample is decoded into typed boxes. A box of another form, or a value out of range, is
looked at again by `results_format`, which puts it into a sentence.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from dualdistill.config.nuscenes import ATTRIBUTE_NAMES, ATTRIBUTES, CLASSES, MAX_BOXES
from dualdistill.data.annotations import NO_ATTRIBUTE
from dualdistill.data.columns import Integers
from dualdistill.data.geometry import Array
from dualdistill.errors import DataError
from dualdistill.evaluation.results_format import check_boxes, check_meta, check_samples, fault

_LABELS = {
    (name, attribute): (label, ATTRIBUTE_NAMES.index(attribute) if attribute else NO_ATTRIBUTE)
    for label, name in enumerate(CLASSES)
    for attribute in ("", *ATTRIBUTES[name])
}
_KEY = re.compile(rb'[\s{,]*("(?:[^"\\]|\\.)*")\s*:\s*')
_CONSTANT = re.compile(rb"-?(NaN|Infinity)")
Raw = msgspec.Raw


class _Document(msgspec.Struct):
    meta: Any = None
    results: Raw = Raw(b"null")


class _Box(msgspec.Struct, gc=False):
    sample_token: str
    translation: tuple[float, float, float]
    size: tuple[float, float, float]
    rotation: tuple[float, float, float, float]
    velocity: tuple[float, float]
    detection_name: str
    detection_score: float
    attribute_name: str
    num_pts: float = -1  # optional; the devkit leaves out boxes for which it is 0


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predicted boxes [P] in the order of the file."""

    sample: Integers  # place among the split's samples
    label: Integers  # into CLASSES
    attribute: Integers  # into ATTRIBUTE_NAMES, -1 for none
    score: Array
    centre: Array  # [P, 3]
    size_wlh: Array  # [P, 3]
    wxyz: Array  # [P, 4]
    velocity: Array  # [P, 2]
    points: Array  # of `num_pts`, -1 where it is not given

    def take(self, rows: NDArray[np.generic]) -> Predictions:
        """Some of the rows, by mask or by number."""
        return Predictions(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})


@dataclass(frozen=True)
class Results:
    """A results file that has been checked."""

    meta: dict[str, Any]
    predictions: Predictions
    sha256: str


def read_predictions(path: Path, tokens: Collection[str]) -> Results:
    """Read a results file; refuse anything but a valid prediction for exactly these samples."""
    where = str(path)
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        hint = "predict the run first"
        raise DataError("the results file does not exist", where=where, hint=hint) from error
    try:
        document = msgspec.json.decode(text, type=_Document)
        samples = msgspec.json.decode(document.results, type=dict[str, Raw])
    except msgspec.ValidationError as error:
        hint = "the file must hold 'meta' and 'results'"
        raise DataError("no 'results' by sample token", where=where, hint=hint) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _malformed(text, error, where) from error
    check_meta(document.meta, where)
    _check_repeated(document.results, samples, where)
    check_samples(samples, tokens, where)
    return Results(document.meta, _predictions(samples, tokens, where), hashlib.sha256(text).hexdigest())


def _predictions(samples: dict[str, Raw], tokens: Collection[str], where: str) -> Predictions:
    rank = {token: number for number, token in enumerate(tokens)}
    decoder = msgspec.json.Decoder(list[_Box])
    numbers, codes, counts = [np.empty((0, 14))], [np.empty((0, 2), dtype=np.int8)], []
    for token, raw in samples.items():
        try:
            boxes = decoder.decode(raw)
            code_K2 = [_LABELS[box.detection_name, box.attribute_name] for box in boxes]
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError) as error:
            raise _explained(token, raw, where) from error
        numbers_K14 = np.array([_numbers(box) for box in boxes], dtype=np.float64).reshape(-1, 14)
        belong = all(box.sample_token == token for box in boxes)
        if not belong or len(boxes) > MAX_BOXES or not _valid(numbers_K14):
            raise _explained(token, raw, where)
        counts.append(len(boxes))
        numbers.append(numbers_K14)
        codes.append(np.array(code_K2, dtype=np.int8).reshape(-1, 2))
    all_P14, code_P2 = np.concatenate(numbers), np.concatenate(codes)
    centre, size_wlh, wxyz, velocity, score, points = np.split(all_P14, (3, 6, 10, 12, 13), axis=1)
    places = np.array([rank[token] for token in samples], dtype=np.int32)
    return Predictions(
        sample=np.repeat(places, counts),
        label=code_P2[:, 0],
        attribute=code_P2[:, 1],
        score=score[:, 0],
        centre=centre,
        size_wlh=size_wlh,
        wxyz=wxyz,
        velocity=velocity,
        points=points[:, 0],
    )


def _numbers(box: _Box) -> tuple[float, ...]:
    return (*box.translation, *box.size, *box.rotation, *box.velocity, box.detection_score, box.num_pts)


def _valid(numbers_K14: Array) -> bool:
    """Whether the numbers of all boxes of a sample are in range, as in `results_format.fault`."""
    size, wxyz, score = numbers_K14[:, 3:6], numbers_K14[:, 6:10], numbers_K14[:, 12]
    unit = np.abs(np.sqrt((wxyz**2).sum(axis=1)) - 1) <= 1e-3
    in_range = (size > 0).all() and unit.all() and (score >= 0).all() and (score <= 1).all()
    return bool(in_range and np.isfinite(numbers_K14).all())


def _check_repeated(results: Raw, samples: dict[str, Raw], where: str) -> None:
    """Refuse a token that occurs twice, of which a JSON reader keeps the last."""
    text, position = memoryview(results), 0
    for token, raw in samples.items():
        key = _KEY.match(text, position)
        if key is None or msgspec.json.decode(key[1]) != token:
            what = f"a sample occurs twice in 'results', at or before {token}"
            raise DataError(what, where=where, hint="predict the run again")
        position = key.end() + memoryview(raw).nbytes
    if bytes(text[position:]).strip(b" \t\r\n{") != b"}":
        raise DataError("a sample occurs twice in 'results'", where=where, hint="predict the run again")


def _explained(token: str, raw: Raw, where: str) -> DataError:
    """The sentence for a sample that was refused."""
    try:
        check_boxes(token, json.loads(bytes(raw)), where)
    except DataError as error:
        return error
    except ValueError as error:
        return DataError(f"sample {token} is not valid JSON: {error}", where=where)
    return DataError(f"sample {token} has a box with a field that cannot be read", where=where)


def _malformed(text: bytes, error: Exception, where: str) -> DataError:
    """The sentence for a text that is no JSON, with the box if it holds NaN or Infinity."""
    at = re.search(r"\(byte (\d+)\)", str(error))
    if at and _CONSTANT.match(text, position := int(at[1])):
        start, end = text.rfind(b"{", 0, position), text.find(b"}", position)
        try:
            box = json.loads(text[start : end + 1])
            token = str(box["sample_token"])
        except (ValueError, KeyError):
            pass
        else:
            return DataError(f"a box of sample {token} {fault(box, token)}", where=where)
    return DataError(f"not valid JSON: {error}", where=where, hint="predict the run again")
