"""The files of a run as they are packed, and as they come back: the same, down to the last bit.

Records and weights are packed as they are. Matches and history are packed as columns (planes.py): of a
history the text comes back byte for byte, of matches every column, so that figures made from them are equal.
"""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import fields
from hashlib import sha256
from pathlib import Path

import numpy as np

from dualdistill.errors import DataError
from dualdistill.evaluation.matching import Matches
from dualdistill.evidence import planes
from dualdistill.evidence.planes import Arrays
from dualdistill.store.bundle import Member
from dualdistill.store.files import sha256_file
from dualdistill.store.records import HISTORY, MATCHES


def packed(path: Path) -> tuple[Member, bytes]:
    """A file as a member of a bundle."""
    if path.name == MATCHES:
        matches = Matches.load(path)
        content = planes.encode(_columns(matches))
        return Member(sha256(content).hexdigest(), matches.sha), content
    content = path.read_bytes()
    if path.name == HISTORY:
        columns = _history_columns(content)
        if columns is not None and _history_text(planes.decode(planes.encode(columns))) == content:
            text_sha, content = sha256(content).hexdigest(), planes.encode(columns)
            return Member(sha256(content).hexdigest(), text_sha), content
    return Member(sha256(content).hexdigest()), content


def unpacked(file: str, member: Member, content: bytes) -> bytes:
    """The bytes of a file from its member; refused if they are not what was packed."""
    if member.content is None:
        return content
    try:
        columns = planes.decode(content)
        if file.endswith(MATCHES):
            restored, text = _matches(columns), b""
            sha = restored.sha
        else:
            text = _history_text(columns)
            sha = sha256(text).hexdigest()
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(f"{file} in it cannot be decoded: {error}") from error
    if sha != member.content:
        raise DataError(f"{file} in it does not come back as it was packed")
    return _saved(restored) if file.endswith(MATCHES) else text


def sha_on_disk(path: Path) -> str:
    """The hash of a file as a manifest has it; that of matches does not depend on their compression."""
    return Matches.load(path).sha if path.name == MATCHES else sha256_file(path)


def _saved(matches: Matches) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        matches.save(Path(folder, MATCHES))
        return Path(folder, MATCHES).read_bytes()


def _columns(matches: Matches) -> Arrays:
    """The columns, with a bit for each prediction and threshold, and the pairs of those that match."""
    matched_PD = matches.pair_DP.T >= 0
    columns = {item.name: getattr(matches, item.name) for item in fields(matches)}
    pair_DP, error_M5 = columns.pop("pair_DP"), columns.pop("error_M5")
    return columns | {
        "pair_shape": np.array(pair_DP.shape),
        "matched": np.packbits(matched_PD),
        "pair": pair_DP.T[matched_PD],
        "error_5M": error_M5.T,
    }


def _matches(columns: Arrays) -> Matches:
    """Matches from their packed columns."""
    thresholds, predictions = columns.pop("pair_shape").tolist()
    bits = np.unpackbits(columns.pop("matched"), count=thresholds * predictions)
    matched_PD = bits.reshape(predictions, thresholds).astype(bool)
    pair = columns.pop("pair")
    pair_PD = np.full(matched_PD.shape, -1, dtype=pair.dtype)
    pair_PD[matched_PD] = pair
    error_M5 = np.ascontiguousarray(columns.pop("error_5M").T)
    return Matches(**columns, pair_DP=np.ascontiguousarray(pair_PD.T), error_M5=error_M5)


def _history_columns(text: bytes) -> Arrays | None:
    """A column for every key of a history, NaN where a line lacks it; None if a value is no number."""
    rows = [json.loads(line) for line in text.splitlines()]
    if any(type(value) not in (int, float) for row in rows for value in row.values()):
        return None
    names = sorted({name for row in rows for name in row})
    integers = {name for name in names if all(type(row.get(name)) is int for row in rows)}
    return {
        name: np.array([row.get(name, np.nan) for row in rows], dtype=np.int64 if name in integers else float)
        for name in names
    }


def _history_text(columns: Arrays) -> bytes:
    """The lines as training/history.py writes them."""
    lines = zip(*(column.tolist() for column in columns.values()), strict=True)
    rows = [dict(zip(columns, line, strict=True)) for line in lines]
    kept = ({name: value for name, value in row.items() if not math.isnan(value)} for row in rows)
    return "".join(json.dumps(row, sort_keys=True) + "\n" for row in kept).encode()
