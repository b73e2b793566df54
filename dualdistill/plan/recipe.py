"""Recipes: how methods are compared. A recipe changes numbers of the profile, per method.

An entry applies to the rows of a method, or to the rows of a model without a method. Inside it, a block named
after a backbone, a teacher's network or a data set applies to that only; those of backbones and teachers may
hold blocks of data sets. The innermost block wins, and a backbone's over a teacher's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

from dualdistill.config import method_options
from dualdistill.config.profile import Profile
from dualdistill.config.ranges import STRICT
from dualdistill.config.row_keys import block, label_encoder_numbers, numbers
from dualdistill.config.run_spec import TEACHERS
from dualdistill.config.validation import check
from dualdistill.config.yaml import Document


class Recipe:
    """A file of config/recipes/, checked against a profile."""

    def __init__(self, document: Document, profile: Profile) -> None:
        check(document, _shape(profile))
        self.title: str = document.value["title"]
        self.entries: dict[str, Any] = document.value
        self.data = profile.data.name

    def changes(self, name: str, backbone: str | None, teacher: str | None = None) -> dict[str, Any]:
        """Changes to the profile, as dotted keys, for a method or a model without a method on a backbone.

        `teacher` is the network of the teacher.
        """
        entry = self.entries.get(name, {})
        blocks = (entry, entry.get(teacher, {}), entry.get(backbone, {}))
        parts = [part for block in blocks for part in (block, block.get(self.data, {}))]
        return {key: value for part in parts for key, value in part.items() if "." in key}


def _shape(profile: Profile) -> type[BaseModel]:
    """The type of a recipe, from all methods and models and the backbones of the profile."""
    data_sets = ("world", "nuscenes", profile.data.name)
    students = {name: _entry(numbers(name), profile.backbones, data_sets) for name in profile.students}
    teachers = {name: _entry(numbers(name), (), data_sets) for name in TEACHERS}
    # a method is compared on every student, so its entry takes the numbers of the first
    parts = (*profile.backbones, *TEACHERS)
    methods = {
        method: _entry(numbers(first) | label_encoder_numbers(method), parts, data_sets)
        for first in list(profile.students)[:1]
        for method in method_options.methods()
    }
    entries: dict[str, Any] = {name: (entry, {}) for name, entry in (methods | students | teachers).items()}
    return create_model("Recipe", __config__=ConfigDict(**STRICT), title=(str, ...), **entries)


def _entry(changes: dict[str, Any], parts: Iterable[str], data_sets: Iterable[str]) -> type[BaseModel]:
    """The type of an entry: numbers, and blocks of numbers for data sets, backbones and teachers."""
    wide = changes | dict.fromkeys(data_sets, block(changes))
    return block(wide | dict.fromkeys(parts, block(wide)))
