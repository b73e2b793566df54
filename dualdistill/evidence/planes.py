"""Arrays without loss in few bytes, for a compressor to follow.

A float64 column of float32 numbers is stored as these, integers in the smallest type that holds them or their
differences. Then the first bytes of all numbers stand together, the second bytes, and so on, because sign,
exponent and leading digits repeat and the rest is noise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
INTEGERS = tuple(np.dtype(name) for name in ("i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8"))


def encode(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """A line of JSON that describes the arrays, then their planes."""
    header, body = {}, []
    for name, array in arrays.items():
        stored, differences = _narrow(array.ravel())
        header[name] = {
            "dtype": array.dtype.str,
            "shape": array.shape,
            "stored": stored.dtype.str,
            "differences": differences,
        }
        body.append(_bytes(stored).T.tobytes())
    return json.dumps(header).encode() + b"\n" + b"".join(body)


def decode(content: bytes) -> Arrays:
    """The arrays that `encode` was given."""
    line, _, body = content.partition(b"\n")
    arrays, start = {}, 0
    for name, about in json.loads(line).items():
        stored, count = np.dtype(about["stored"]), prod(about["shape"])
        end = start + count * stored.itemsize
        planes = np.frombuffer(body[start:end], dtype=np.uint8).reshape(stored.itemsize, count)
        values = np.frombuffer(planes.T.tobytes(), dtype=stored)
        if about["differences"]:
            values = np.cumsum(values, dtype=np.int64)
        arrays[name] = values.astype(about["dtype"]).reshape(about["shape"])
        start = end
    if start != len(body):
        raise ValueError(f"{len(body) - start} bytes follow the last array")
    return arrays


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    return np.frombuffer(values.tobytes(), dtype=np.uint8).reshape(len(values), values.dtype.itemsize)


def _narrow(values: NDArray[Any]) -> tuple[NDArray[Any], bool]:
    """The values in the smallest type that gives them back, and whether they are differences."""
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            single = values.astype("<f4")
        exact = single.astype(values.dtype).tobytes() == values.tobytes()
        return (single if exact else values), False
    if values.dtype.kind not in "iu":
        return values, False
    plain, steps = _smallest(values), _smallest(np.diff(values.astype(np.int64), prepend=0))
    return (steps, True) if steps.dtype.itemsize < plain.dtype.itemsize else (plain, False)


def _smallest(values: NDArray[Any]) -> NDArray[Any]:
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    fits = (kind for kind in INTEGERS if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    return values.astype(next(fits))
