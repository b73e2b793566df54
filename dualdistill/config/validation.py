"""Validate YAML with pydantic, and report the first fault as a sentence with file and line.

A type is a pydantic dataclass or model, or any annotation. Known keys and allowed words are read from the
type, so that a misspelling gets the closest match as a hint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError

from dualdistill.config.yaml import Document, Place, nearest
from dualdistill.errors import UserError

UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument", "string_pattern_mismatch")
MISSING = ("missing", "missing_argument")
# hints on what earlier versions knew: students no longer start from a detector that was trained before
FORMER_KEYS = dict.fromkeys(
    ("detector", "grown"), "no run trains a detector for students to start from any more: leave it out"
)
FORMER_WORDS = {
    "detector": "students no longer start from a trained detector: write pretrained, and give them a whole "
    "training in schedules.student, as config/profiles/world.yaml does"
}
COMPLAINTS = {  # by pydantic's error type; its context fills the braces
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "greater_than": "must be above {gt}",
    "less_than": "must be below {lt}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "path_type": "must be text",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a block of keys",
    "dataclass_type": "must be a block of keys",
    "model_type": "must be a block of keys",
}


@functools.cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def build(kind: Any, values: Any) -> Any:
    """Convert plain values to a type; invalid ones raise pydantic's error."""
    # through JSON, because only there strict mode accepts a list as a tuple and an int as a float
    return adapter(kind).validate_json(json.dumps(values))


def check(document: Document, kind: Any, at: Place = (), noun: str = "") -> Any:
    """Convert a document, or its part at a place, to a type; raise the first fault as a sentence.

    `noun` names the kind of that part in messages: "unknown key 'x' in row 'y'".
    """
    value = document.value
    for key in at:
        value = value[key]
    try:
        return build(kind, value)
    except ValidationError as error:
        faults = [Fault(document, kind, detail, at, noun) for detail in error.errors(include_url=False)]
        raise min(faults, key=lambda fault: (fault.line, fault.of_words)).sentence() from None


class Fault:
    """An error of pydantic, rewritten as a sentence about the YAML."""

    def __init__(self, document: Document, kind: Any, error: Any, at: Place, noun: str) -> None:
        self.document, self.error, self.at, self.noun = document, error, at, noun
        # pydantic appends "[key]" where the key itself is invalid, not its value
        path: Place = tuple(part for part in error["loc"] if part != "[key]")
        # and the name of a type behind the place of a value that may have several
        ends = (end for end in range(len(path)) if len(members(at_path(kind, path[:end]))) > 1)
        self.path = path[: next(ends, len(path))]
        self.kind = kind
        self.place: Place = (*at, *self.path)

    @property
    def of_words(self) -> bool:
        return bool(self.error["type"] == "literal_error")

    @property
    def line(self) -> int:
        return self.document.lines.get(self.place, 0)

    def sentence(self) -> UserError:
        error, hint = self.error, ""
        if error["type"] in UNKNOWN_KEY:
            what = f"unknown key '{self.place[-1]}'{self._inside(self.place[:-1])}"
            key = str(self.place[-1])
            hint = FORMER_KEYS.get(key) or nearest(key, keys(at_path(self.kind, self.path[:-1])))
        elif error["type"] in MISSING and isinstance(self.place[-1], int):
            self.place, length = self.place[:-1], len(get_args(_plain(at_path(self.kind, self.path[:-1]))))
            what = f"{self._subject()} needs at least {length} entries"
        elif error["type"] in MISSING:
            what = f"missing key '{self.place[-1]}'{self._inside(self.place[:-1])}"
        else:
            what = f"{self._subject()} {self._complaint()}"
            hint = self._hint()
        return UserError(what, where=self.document.where(self.place), hint=hint)

    def _complaint(self) -> str:
        error = self.error
        context: Mapping[str, Any] = error.get("ctx", {})
        kinds = members(at_path(self.kind, self.path))
        if len(kinds) > 1 and (self.of_words or error["type"] == "int_type"):
            allowed = " or ".join(", ".join(map(str, words(kind))) or "a whole number" for kind in kinds)
            return f"must be {allowed}, not {_shown(error['input'])}"
        if self.of_words:
            allowed = ", ".join(map(str, words(at_path(self.kind, self.path))))
            return f"must be one of {allowed}, not {_shown(error['input'])}"
        if error["type"] == "too_short":
            empty = context["actual_length"] == 0
            return "must not be empty" if empty else f"needs at least {context['min_length']} entries"
        if error["type"] == "too_long":
            return f"takes at most {context['max_length']} entries"
        if error["type"] not in COMPLAINTS:
            return str(error["msg"])
        limits = {name: _number(limit) for name, limit in context.items()}
        return f"{COMPLAINTS[error['type']].format(**limits)}, not {_shown(error['input'])}"

    def _hint(self) -> str:
        value = self.error["input"]
        if not isinstance(value, str):
            return ""
        if self.error["type"] == "literal_error":
            if value in FORMER_WORDS:
                return FORMER_WORDS[value]
            return nearest(value, map(str, words(at_path(self.kind, self.path))), otherwise="")
        if self.error["type"] in ("int_type", "float_type"):
            with contextlib.suppress(ValueError):
                return f"YAML reads {value} as text, write {float(value)!r}"
        return ""

    def _inside(self, place: Place) -> str:
        if place == self.at and self.noun:
            return f" in {self.noun} '{place[-1]}'"
        return f" in '{'.'.join(map(str, place))}'" if place else ""

    def _subject(self) -> str:
        if not self.place:
            return "the file"
        *around, last = self.place
        name = f"entry {last + 1}" if isinstance(last, int) else f"'{last}'"
        return f"{name}{self._inside(tuple(around))}"


def keys(kind: Any) -> dict[str, Any]:
    """The keys of a block with the types of their values; empty for any other type."""
    kind = _plain(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        items = kind.model_fields.items()
        return {field.alias or name: field.rebuild_annotation() for name, field in items}
    if dataclasses.is_dataclass(kind):
        hints = _hints(kind)  # type: ignore[arg-type]  # mypy takes a dataclass for unhashable
        return {item.name: hints[item.name] for item in dataclasses.fields(kind)}
    return {}


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def words(kind: Any) -> tuple[Any, ...]:
    """The values allowed by a Literal; empty for any other type."""
    kind = _plain(kind)
    return get_args(kind) if get_origin(kind) is Literal else ()


def members(kind: Any) -> list[Any]:
    """The types that a value may have, besides null: several for a number or a word, say."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    union = get_origin(kind) in (Union, UnionType)
    return [part for part in get_args(kind) if part is not type(None)] if union else [kind]


def is_list(kind: Any) -> bool:
    return get_origin(_plain(kind)) in (tuple, list)


def at_path(kind: Any, path: Place) -> Any:
    """The type of the value at a path inside a value of type `kind`."""
    for part in path:
        plain = _plain(kind)
        if get_origin(plain) is dict:
            kind = get_args(plain)[1]
        elif get_origin(plain) in (tuple, list):
            inner = get_args(plain)
            kind = inner[min(int(part), len(inner) - 1)] if Ellipsis not in inner else inner[0]
        else:
            kind = keys(plain).get(str(part), Any)
    return kind


def _plain(kind: Any) -> Any:
    """Strip ranges and `| None` from a type."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in (Union, UnionType):
            kind = next(part for part in get_args(kind) if part is not type(None))
        else:
            return kind


def _number(limit: Any) -> Any:
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"the text '{value}'"
    if isinstance(value, dict | list):
        return "a block of keys" if isinstance(value, dict) else "a list"
    return json.dumps(value)
