"""Spec dataclasses from the plain values of a YAML file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def build(kind: type[T], values: Mapping[str, Any]) -> T:
    """A spec dataclass from plain values: lists become tuples, whole numbers the floats that are meant."""
    hints = get_type_hints(kind)
    return kind(**{key: _typed(hints[key], value) for key, value in values.items()})


def _typed(hint: Any, value: Any) -> Any:
    if isinstance(hint, UnionType):
        return None if value is None else _typed(get_args(hint)[0], value)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value)
    if get_origin(hint) is tuple:
        return tuple(_typed(get_args(hint)[0], item) for item in value)
    return float(value) if hint is float else value
