"""JSON schemas of the files in config/, for editors that complete and check YAML; made from the types.

The comments above and behind a field in the source are its description.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import operator
import re
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter, create_model

from dualdistill.config import method_options, row_keys
from dualdistill.config.inheritance import FROM
from dualdistill.config.profile import Profile
from dualdistill.config.run_spec import TEACHERS
from dualdistill.config.settings import RowName, Settings
from dualdistill.config.students import students
from dualdistill.config.views import CHARTS, ClaimsFile, FiguresFile, TablesFile

# comment lines above a field, its name, and the comment behind it
COMMENTS = re.compile(r"((?:^    # .+\n)*)^    (\w+): .*?(?:  # (.+))?$", re.MULTILINE)


def variants() -> dict[str, Any]:
    """Rows with the options of every method and the numbers of every network; a list is a sweep."""
    keys: dict[str, Any] = dict(row_keys.OF_EVERY_ROW)
    for method in method_options.methods():
        keys |= row_keys.method_keys(method)
    for network in (*students(), *TEACHERS):
        keys |= row_keys.numbers(network)
    swept: dict[str, Any] = {key: kind | list[kind] for key, kind in keys.items()}  # type: ignore[valid-type]
    rows: Any = dict[RowName, row_keys.block(swept)]  # type: ignore[misc]
    return TypeAdapter(rows).json_schema()


def profile() -> dict[str, Any]:
    """Profiles; the keys of a student depend on its network, those of a method on its constructor."""
    schema = TypeAdapter(Profile).json_schema()
    fields: dict[str, Any] = {name: (spec | None, None) for name, spec in students().items()}
    networks = TypeAdapter(create_model("Students", **fields)).json_schema()
    schema["$defs"] |= networks.pop("$defs")
    schema["properties"]["students"] = networks
    methods = row_keys.of_methods().model_json_schema()
    schema["$defs"] |= methods.pop("$defs")
    schema["properties"]["methods"] = methods
    schedules = schema["$defs"]["Schedules"]
    schedules["properties"]["base"] = {"$ref": "#/$defs/ScheduleSpec"}
    schema["properties"][FROM] = {"type": "string", "description": "the profile that this one inherits from"}
    # a profile names what differs from another, and a schedule what differs from its base
    for part in (schema, schedules, schema["$defs"]["DataSpec"]):
        part.pop("required")
    return schema


def figures() -> dict[str, Any]:
    """Figures; the keys of a figure depend on its chart."""
    schema = TypeAdapter(FiguresFile).json_schema()
    chart: Any = functools.reduce(operator.or_, CHARTS.values())
    charts = TypeAdapter(chart).json_schema()
    schema["$defs"] |= charts.pop("$defs")
    schema["properties"]["figures"]["patternProperties"] = {"^[a-z][a-z0-9_]*$": charts}
    return schema


SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "config": TypeAdapter(Settings).json_schema,
    "profile": profile,
    "variants": variants,
    "tables": TypeAdapter(TablesFile).json_schema,
    "claims": TypeAdapter(ClaimsFile).json_schema,
    "figures": figures,
}


def schema(name: str) -> dict[str, Any]:
    """The schema of one kind of file, with descriptions."""
    made = SCHEMAS[name]()
    classes = {kind.__name__: kind for kind in _classes()}
    for title, part in {**made.get("$defs", {}), made.get("title", ""): made}.items():
        if title in classes:
            for above, key, behind in COMMENTS.findall(inspect.getsource(classes[title])):
                text = "; ".join(filter(None, [" ".join(re.findall(r"# (.+)", above)), behind]))
                if text and key in part.get("properties", {}):
                    part["properties"][key].setdefault("description", text)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _classes() -> list[Any]:
    """The dataclasses that the files are made of, with those they derive from."""
    from dualdistill.config import profile, run_spec, settings, views, world

    modules = (profile, run_spec, settings, views, world)
    kinds = [kind for module in modules for kind in vars(module).values() if dataclasses.is_dataclass(kind)]
    return [*kinds, *students().values()]
