"""Strict YAML reader that keeps the line of every value.

It refuses anchors, and what YAML accepts or converts silently: duplicate keys, off/yes/no as booleans, octal
and sexagesimal numbers, and dates.
A place is the path of keys to a value, e.g. ("temp-0.5", "temperature").
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dualdistill.errors import UserError

Place = tuple[str | int, ...]
# the C parser is ten times faster and gives the same nodes
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Document:
    """The content of a file, with the line of each part."""

    name: str
    value: Any
    lines: dict[Place, int] = field(default_factory=dict)
    files: dict[Place, str] = field(default_factory=dict)  # of parts inherited from another file

    def where(self, place: Place = ()) -> str:
        """file:line of a place, or of the closest enclosing block that has a line."""
        while place and place not in self.lines:
            place = place[:-1]
        return f"{self.files.get(place, self.name)}:{self.lines[place]}" if place in self.lines else self.name


def read(path: Path) -> Document:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"cannot read the file: {reason}", where=str(path)) from error
    return parse(text, str(path))


def choose(folder: Path, noun: str, name: str, where: str) -> Document:
    """The file of a folder that the configuration names at `where`."""
    known = [path.stem for path in folder.glob("*.yaml")]
    if name not in known:
        raise UserError(f"unknown {noun} '{name}'", where=where, hint=nearest(name, known))
    return read(folder / f"{name}.yaml")


def parse(text: str, name: str) -> Document:
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"not valid YAML: {error.problem}", where=f"{name}{line}") from error
    except yaml.YAMLError as error:
        raise UserError("not valid YAML: it holds unprintable characters", where=name) from error
    if node is None:
        raise UserError("the file is empty", where=name)
    builder = _Builder(name)
    return Document(name, builder.build(node, ()), builder.lines)


class _Builder:
    """Converter from YAML nodes to plain values."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[Place, int] = {}
        self.built: set[int] = set()

    def build(self, node: yaml.Node, place: Place) -> Any:
        if id(node) in self.built:
            raise self.refusal(node, "anchors are not used here", "write the value out")
        self.built.add(id(node))
        self.lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*place, number)) for number, item in enumerate(node.value)]
        return self.scalar(node)

    def mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != f"{_TAG}str":
                written = key_node.value if isinstance(key_node, yaml.ScalarNode) else "a list or block"
                raise self.refusal(key_node, f"key {written!r} is not text to YAML", "put it in quotes")
            key = key_node.value
            if key in values:
                first = self.lines[(*place, key)]
                raise self.refusal(key_node, f"key {key!r} is written twice", f"first in line {first}")
            self.lines[(*place, key)] = key_node.start_mark.line + 1
            values[key] = self.build(value_node, (*place, key))
        return values

    def scalar(self, node: yaml.Node) -> Any:
        text, kind = str(node.value), node.tag.removeprefix(_TAG)
        if kind == "str":
            return text
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if kind == "bool":
            meant = "true" if text.lower() in ("yes", "on") else "false"
            raise self.refusal(node, f"YAML reads {text} as {meant}", f'write {meant}, or "{text}" in quotes')
        if kind == "int" and re.fullmatch(r"[-+]?(0|[1-9]\d*)", text):
            return int(text)
        if kind == "float" and re.fullmatch(r"[-+]?[\d.]+([eE][-+]?\d+)?", text):
            return self.finite(node, float(text))
        hint = "write decimal digits, or put it in quotes"
        raise self.refusal(node, f"{text!r} is not a plain number", hint)

    def finite(self, node: yaml.Node, value: float) -> float:
        if not math.isfinite(value):
            raise self.refusal(node, f"{node.value} is too large for a number", "write a smaller one")
        return value

    def refusal(self, node: yaml.Node, what: str, hint: str) -> UserError:
        return UserError(what, where=f"{self.name}:{node.start_mark.line + 1}", hint=hint)


def nearest(word: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """A hint with the closest known word; if none is close, `otherwise` or a list of up to 12 known words."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    if otherwise is None:
        return f"choose from {', '.join(names)}" if 0 < len(names) <= 12 else ""
    return otherwise
