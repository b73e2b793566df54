"""From plain values, as YAML has them, to the dataclasses of a spec."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def build(kind: type[T], values: Mapping[str, Any]) -> T:
    """A spec dataclass from plain values: lists become tuples, whole numbers the floats that are meant."""
    hints = _hints(kind)  # type: ignore[arg-type]  # mypy takes a type of T for unhashable
    return kind(**{key: _typed(hints[key], value) for key, value in values.items()})


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _typed(hint: Any, value: Any) -> Any:
    if isinstance(hint, UnionType):
        return None if value is None else _typed(get_args(hint)[0], value)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value)
    if get_origin(hint) is tuple:
        return tuple(_typed(get_args(hint)[0], item) for item in value)
    return float(value) if hint is float else value


def changed(values: Mapping[str, Any], keys: list[str], value: Any) -> dict[str, Any]:
    """A copy with one number at a path replaced."""
    first, *rest = keys
    return {**values, first: changed(values[first], rest, value) if rest else value}
