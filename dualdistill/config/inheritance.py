"""Blocks and files of YAML that state only what differs from another block or file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from dualdistill.config.yaml import Document, Place, choose
from dualdistill.errors import UserError

FROM = "from"  # key of a file that names the file it inherits from


def with_parents(document: Document, noun: str, heirs: tuple[str, ...] = ()) -> Document:
    """A file, filled with what it leaves out from the file beside it that it names in `from`."""
    if not isinstance(document.value, dict) or FROM not in document.value:
        return document
    path, parent, where = Path(document.name), document.value[FROM], document.where((FROM,))
    names = (*heirs, path.stem)
    if not isinstance(parent, str):
        raise UserError(f"'{FROM}' must be text", where=where)
    if parent in names:
        circle = " -> ".join([*names[names.index(parent) :], parent])
        raise UserError(f"{noun}s start from each other in a circle: {circle}", where=where)
    inherited = with_parents(choose(path.parent, noun, parent, where), noun, names)
    written = {key: value for key, value in document.value.items() if key != FROM}
    files = {place: inherited.files.get(place, inherited.name) for place in inherited.lines}
    return Document(
        document.name,
        _merged(inherited.value, written) if isinstance(inherited.value, dict) else written,
        inherited.lines | document.lines,
        {place: file for place, file in files.items() if place not in document.lines},
    )


def fill(document: Document, heir: Place, parent: Place) -> Document:
    """Fill the block at `heir` with the keys that it leaves out, taken from the block at `parent`."""
    block, inherited = _at(document.value, heir), _at(document.value, parent)
    if not isinstance(block, dict) or not isinstance(inherited, dict):
        return document
    places = {
        place: (*heir, *place[len(parent) :])
        for place in document.lines
        if place[: len(parent)] == parent and (*heir, *place[len(parent) :]) not in document.lines
    }
    return replace(
        document,
        value=_put(document.value, heir, _merged(inherited, block)),
        lines=document.lines | {new: document.lines[old] for old, new in places.items()},
        files=document.files
        | {new: document.files[old] for old, new in places.items() if old in document.files},
    )


def _merged(inherited: dict[str, Any], block: dict[str, Any]) -> dict[str, Any]:
    merged = dict(inherited)
    for key, value in block.items():
        before = inherited.get(key)
        merged[key] = (
            _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
        )
    return merged


def _at(value: Any, place: Place) -> Any:
    for key in place:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _put(value: dict[str, Any], place: Place, block: Any) -> dict[str, Any]:
    first, *rest = map(str, place)
    return {**value, first: _put(value[first], tuple(rest), block) if rest else block}
