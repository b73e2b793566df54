"""Keys of a row: its fixed keys, the options of its method, and the numbers of the profile it may change."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from dualdistill.config import method_options
from dualdistill.config.ranges import STRICT
from dualdistill.config.run_spec import TEACHERS, InputSpec, LabelEncoderSpec, ScheduleSpec, TeacherInputSpec
from dualdistill.config.students import students
from dualdistill.config.validation import keys

OF_EVERY_ROW = {
    "from": str,  # the row that this row inherits from
    "model": str,  # a network of the profile
    "backbone": str,  # of a student, by its name in the profile
    "method": str,  # a file of dualdistill/distill/; needs a teacher
    "teacher": str,  # the row of the teacher
    # file: from a released checkpoint, not trained here; of a teacher also a row: its initial weights
    "weights": str,
}


@functools.cache
def row(network: str | None, method: str | None) -> type[BaseModel]:
    """A model of the keys of a row, given its network and its method."""
    of_method = method_keys(method) if method else {}
    return block({**OF_EVERY_ROW, **of_method, **(numbers(network) if network else {})})


def method_keys(method: str) -> dict[str, Any]:
    """Keys that a row has for its method: options, and numbers of the label encoder if it asks for one."""
    return method_options.options(method) | label_encoder_numbers(method)


def of_methods() -> type[BaseModel]:
    """A model of the options of all methods, by method."""
    return block({name: block(method_options.options(name)) for name in method_options.methods()})


def label_encoder_numbers(method: str) -> dict[str, Any]:
    """Dotted keys of the label encoder of a method, with their types; none if it has no label encoder."""
    asked = method_options.trait(method, "label_encoder", False)
    return dict(_flat("label_encoder", LabelEncoderSpec)) if asked else {}


@functools.cache
def numbers(network: str) -> dict[str, Any]:
    """Dotted keys of the profile's numbers that a row may change, with their types."""
    model = TEACHERS.get(network) or students()[network]
    input_spec = TeacherInputSpec if network in TEACHERS else InputSpec
    sections = {"input": input_spec, "schedule": ScheduleSpec, "model": model}
    return {key: kind for name, section in sections.items() for key, kind in _flat(name, section)}


def _flat(prefix: str, section: Any) -> Iterator[tuple[str, Any]]:
    for key, kind in keys(section).items():
        if dataclasses.is_dataclass(kind):
            yield from _flat(f"{prefix}.{key}", kind)
        else:
            yield f"{prefix}.{key}", kind


def block(kinds: Mapping[str, Any]) -> type[BaseModel]:
    """A model of optional keys that need not be Python names."""
    fields: dict[str, Any] = {
        f"field_{number}": (kind, Field(default=None, alias=key))
        for number, (key, kind) in enumerate(kinds.items())
    }
    return create_model("Block", __config__=ConfigDict(**STRICT), **fields)
