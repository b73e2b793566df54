"""A recipe: how methods are compared. It changes numbers of the profile, method by method.

An entry is for the rows of a method, or of a model that has none. In it, a block named like a backbone or a
data set is for that alone; a backbone's block may hold blocks of data sets. What stands deeper wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dualdistill.config import method_options, yaml
from dualdistill.config.keys import changeable
from dualdistill.config.settings import schema
from dualdistill.config.yaml import Document

Rules = dict[str, Any]


class Recipe:
    """A file of config/recipes/, checked against a profile."""

    def __init__(self, found: Document, profile: Mapping[str, Any]) -> None:
        yaml.check(found, _rules(profile))
        self.entries: dict[str, Any] = found.value
        self.data: str = profile["data"]["name"]

    def changes(self, name: str, backbone: str | None) -> dict[str, Any]:
        """What a method, or a model, changes on a backbone: dotted keys into the profile."""
        entry = self.entries.get(name, {})
        inner = entry.get(backbone, {})
        parts = (entry, entry.get(self.data, {}), inner, inner.get(self.data, {}))
        return {key: value for part in parts for key, value in part.items() if "." in key}


def _rules(profile: Mapping[str, Any]) -> Rules:
    """The schema of a recipe, now that it is known which methods, models and backbones there are."""
    student = _entry("student", profile["backbones"])
    entries = dict.fromkeys([*method_options.methods(), *profile["students"]], student)
    entries |= {name: _entry(name, ()) for name in profile["teachers"]}
    shape = schema("recipe")
    return {
        **shape,
        "properties": shape["properties"] | entries,
        "additionalProperties": False,
        "$defs": schema("profile")["$defs"],
    }


def _entry(model: str, backbones: Iterable[str]) -> Rules:
    numbers = changeable(model)
    data_sets = schema("profile")["$defs"]["data"]["properties"]["name"]["enum"]
    wide = numbers | dict.fromkeys(data_sets, _block(numbers))
    return _block(wide | dict.fromkeys(backbones, _block(wide)))


def _block(properties: Rules) -> Rules:
    return {"type": "object", "additionalProperties": False, "properties": properties}
