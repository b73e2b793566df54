"""A YAML file read strictly: what a line says is what is meant, and every value remembers its line.

Refused, since YAML would silently make something else of it: a key written twice, off/yes/no for a boolean,
octal and sexagesimal numbers, dates, anchors.
A place is the path of keys to a value, e.g. ("temp-0.5", "temperature").
"""

from __future__ import annotations

import contextlib
import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dualdistill.errors import UserError

Place = tuple[str | int, ...]
# the C parser is ten times faster; both give the same nodes
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_KINDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a block of keys",
    "null": "null",
}


@dataclass(frozen=True)
class Document:
    """The value of a file, and where its parts stand."""

    name: str
    value: Any
    lines: dict[Place, int] = field(default_factory=dict)

    def where(self, place: Place = ()) -> str:
        """file:line of a place, or of the closest thing around it that has a line."""
        while place and place not in self.lines:
            place = place[:-1]
        return f"{self.name}:{self.lines[place]}" if place in self.lines else self.name


def read(path: Path) -> Document:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"cannot read the file: {reason}", where=str(path)) from error
    return parse(text, str(path))


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
    """Turns YAML nodes into plain values, once each."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[Place, int] = {}
        self.seen: set[int] = set()

    def build(self, node: yaml.Node, place: Place) -> Any:
        if id(node) in self.seen:
            raise self.refusal(node, "anchors are not used here", "write the value out")
        self.seen.add(id(node))
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
        raise self.refusal(node, f"{text!r} is no plain number", "write decimal digits, or put it in quotes")

    def finite(self, node: yaml.Node, value: float) -> float:
        if not math.isfinite(value):
            raise self.refusal(node, f"{node.value} is too large for a number", "write a smaller one")
        return value

    def refusal(self, node: yaml.Node, what: str, hint: str) -> UserError:
        return UserError(what, where=f"{self.name}:{node.start_mark.line + 1}", hint=hint)


def check(document: Document, schema: Mapping[str, Any], at: Place = (), noun: str = "") -> None:
    """Hold a document, or its part at a place, against a JSON schema; raise the first fault in words."""
    # half of the planning time when imported at the top, and who only asks for --help does not need it
    from jsonschema import Draft202012Validator

    value = document.value
    for key in at:
        value = value[key]
    errors = Draft202012Validator(dict(schema)).iter_errors(value)
    faults = [Fault(document, error, at, noun) for error in errors]
    if faults:
        raise min(faults, key=lambda fault: fault.line).sentence()


class Fault:
    """A schema violation, to be told in our words."""

    def __init__(self, document: Document, error: Any, at: Place, noun: str) -> None:
        while error.validator in ("oneOf", "anyOf") and error.context:
            error = max(error.context, key=lambda inner: (len(inner.absolute_path), len(inner.path)))
        self.document, self.error, self.at, self.noun = document, error, at, noun
        self.place: Place = (*at, *error.absolute_path)
        if error.validator == "additionalProperties":
            self.place = (*self.place, self.unknown[0])

    @property
    def line(self) -> int:
        return self.document.lines.get(self.place, 0)

    @property
    def unknown(self) -> list[str]:
        patterns = "|".join(self.error.schema.get("patternProperties", {})) or "(?!)"
        known = self.error.schema.get("properties", {})
        return [key for key in self.error.instance if key not in known and not re.search(patterns, key)]

    def sentence(self) -> UserError:
        error, limit, hint = self.error, self.error.validator_value, ""
        if error.validator == "additionalProperties":
            what = f"unknown key '{self.place[-1]}'{self.inside(self.place[:-1])}"
            hint = nearest(str(self.place[-1]), error.schema.get("properties", {}))
        elif error.validator == "required":
            missing = next(key for key in limit if key not in error.instance)
            what = f"missing key '{missing}'{self.inside(self.place)}"
        else:
            what = f"{self.subject()} {_complaint(error.validator, limit, error.instance, error.message)}"
            hint = _hint(error.validator, limit, error.instance)
        return UserError(what, where=self.document.where(self.place), hint=hint)

    def inside(self, place: Place) -> str:
        if place == self.at and self.noun:
            return f" in {self.noun} '{place[-1]}'"
        return f" in '{'.'.join(map(str, place))}'" if place else ""

    def subject(self) -> str:
        if not self.place:
            return "the file"
        *around, last = self.place
        name = f"entry {last + 1}" if isinstance(last, int) else f"'{last}'"
        return f"{name}{self.inside(tuple(around))}"


_COMPLAINTS = {
    "type": "must be {limit}, not {value}",
    "enum": "must be one of {limit}, not {value}",
    "minimum": "must be at least {limit}, not {value}",
    "maximum": "must be at most {limit}, not {value}",
    "exclusiveMinimum": "must be above {limit}, not {value}",
    "exclusiveMaximum": "must be below {limit}, not {value}",
    "multipleOf": "must be a multiple of {limit}, not {value}",
    "minItems": "needs at least {limit} entries",
    "maxItems": "takes at most {limit} entries",
    "minProperties": "must not be empty",
    "uniqueItems": "holds the same entry twice",
}


def _complaint(validator: str, limit: Any, value: Any, message: str) -> str:
    if validator not in _COMPLAINTS:
        return message
    words = [_KINDS[kind] for kind in _as_list(limit)] if validator == "type" else _as_list(limit)
    joined = (" or " if validator == "type" else ", ").join(map(str, words))
    return _COMPLAINTS[validator].format(limit=joined, value=_shown(value))


def _hint(validator: str, limit: Any, value: Any) -> str:
    if not isinstance(value, str):
        return ""
    if validator == "enum":
        return nearest(value, map(str, limit), otherwise="")
    if validator == "type" and {"number", "integer"} & set(_as_list(limit)):
        with contextlib.suppress(ValueError):
            return f"YAML reads {value} as text, write {float(value)!r}"
    return ""


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"the text '{value}'"
    if isinstance(value, dict | list):
        return _KINDS["object" if isinstance(value, dict) else "array"]
    return json.dumps(value)


def nearest(word: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """'did you mean ...?', or what there is when nothing comes close."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    if otherwise is None:
        return f"there is {', '.join(names)}" if 0 < len(names) <= 12 else ""
    return otherwise
