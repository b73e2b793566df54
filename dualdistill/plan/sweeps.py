"""Sweeps: a list in place of a single value makes a row for each of its values.

    t: {from: dualdistill-r50-mvp, temperature: [1.0, 0.5]}

defines the rows t-1.0 and t-0.5, and no row t. Several lists make a row for every combination.
A key that takes a list anyway, e.g. input.resize_jitter, is swept by a list of lists.
"""

from __future__ import annotations

import functools
import itertools
import re
from typing import Any

from dualdistill.config import method_options, row_keys
from dualdistill.config.run_spec import TEACHERS
from dualdistill.config.students import students
from dualdistill.config.validation import is_list
from dualdistill.config.yaml import Document
from dualdistill.errors import UserError


def expand(variants: Document) -> Document:
    """Write out every sweep as rows, which keep the sweep's line for error messages."""
    rows: dict[str, dict[str, Any]] = {}
    lines = dict(variants.lines)
    for name, row in variants.value.items():
        swept = [key for key, value in row.items() if _is_swept(key, value)]
        for key in swept:
            if not row[key]:
                what = f"'{key}' in row '{name}' is an empty list"
                raise UserError(what, where=variants.where((name, key)), hint="a sweep needs values")
        for values in itertools.product(*(row[key] for key in swept)):
            written = "-".join([name, *map(_word, values)])
            if written in rows or (swept and written in variants.value):
                what = f"the sweep '{name}' makes the row '{written}' a second time"
                raise UserError(what, where=variants.where((name,)), hint="rename one of the two")
            rows[written] = {**row, **dict(zip(swept, values, strict=True))}
            lines |= {
                (written, *place[1:]): line for place, line in variants.lines.items() if place[:1] == (name,)
            }
    return Document(variants.name, rows, lines)


def _is_swept(key: str, value: Any) -> bool:
    if not isinstance(value, list):
        return False
    return key not in _lists() or (bool(value) and all(isinstance(item, list) for item in value))


@functools.cache
def _lists() -> frozenset[str]:
    """Keys that take a list."""
    kinds: dict[str, Any] = {}
    for network in (*students(), *TEACHERS):
        kinds |= row_keys.numbers(network)
    for method in method_options.methods():
        kinds |= row_keys.method_keys(method)
    return frozenset(key for key, kind in kinds.items() if is_list(kind))


def _word(value: Any) -> str:
    """A value in the form it has in a row's name."""
    if isinstance(value, list):
        return "-".join(map(_word, value))
    text = str(value).lower() if isinstance(value, bool | str) else repr(value)
    return re.sub(r"[^a-z0-9._-]", "-", text)
