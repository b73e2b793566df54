"""Which keys a row may have besides its own: the options of its method and the profile's numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dualdistill.config import method_options
from dualdistill.config.settings import schema


def option_schema(option: method_options.Option) -> dict[str, Any]:
    """An option's type from the constructor, its range from variants.schema.yaml."""
    known: dict[str, Any] = schema("variants")["$defs"]["options"].get(option.name, {})
    return {**option.schema, **known}


def changeable(model: str) -> dict[str, Any]:
    """The profile's numbers that a row with a model may change, as dotted keys with their schemas."""
    sections = [("input", "input"), ("schedule", "schedule"), ("model", model)]
    if model != "student":
        sections.append(("input", "degraded"))
    return {key: rules for section, part in sections for key, rules in _numbers(section, part)}


def _numbers(prefix: str, part: str) -> Iterator[tuple[str, Any]]:
    parts = schema("profile")["$defs"]
    for key, rules in parts[part]["properties"].items():
        inner = rules.get("$ref", "").rsplit("/", 1)[-1]
        if "properties" in parts.get(inner, {}):
            yield from _numbers(f"{prefix}.{key}", inner)
        else:
            yield f"{prefix}.{key}", rules
