"""Everything under config/, read strictly and held against workflow/schemas/ before anything is planned.

Settings say what to run, a profile holds every number, a recipe what methods change in it, variants.yaml the
rows, tables.yaml and claims.yaml views on them, reported.csv the poster's numbers.
"""

from __future__ import annotations

import csv
import functools
import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualdistill.config import yaml
from dualdistill.config.yaml import Document, nearest
from dualdistill.errors import UserError

SCHEMAS = Path(__file__).parents[2] / "workflow" / "schemas"
COMMAND_LINE = "command line"
COLUMNS = ["row", "table", "metric", "value", "delta", "baseline", "certainty", "note"]
METRICS = ("mAP", "NDS")
CERTAINTIES = ("certain", "inferred")  # inferred: the print is damaged, its surroundings give the value


@dataclass(frozen=True)
class Settings:
    """config/config.yaml with what the command line overrides."""

    profile: str
    recipe: str
    split: str  # that is predicted, scored and shown: val | dev
    seeds: tuple[int, ...]
    teacher_seed: int
    data_root: Path | None
    masks: Path | None
    imagenet: Mapping[str, Path]  # backbone -> file, where there is one
    workers: int
    loaders: int


@dataclass(frozen=True)
class Reported:
    """One number of the poster, in points."""

    value: float
    delta: float | None  # over the baseline row, where the poster prints one
    baseline: str
    certainty: str
    note: str


@dataclass(frozen=True)
class Config:
    settings: Settings
    profile: Document
    recipe: Document
    variants: Document
    tables: Document
    claims: Document
    reported: dict[str, dict[str, Reported]]  # row -> metric -> number
    arguments: str  # what a command needs on its line to read the same configuration again


def load(path: Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read the settings at a path and the files beside it."""
    overridden = _overrides(overrides or {})
    written = yaml.read(path)
    yaml.check(written, schema("config"))
    yaml.check(overridden, {**schema("config"), "required": []})
    values = {**written.value, **overridden.value}
    files = values["imagenet"]
    typed = {
        "seeds": tuple(values["seeds"]),
        **{name: None if values[name] is None else Path(values[name]) for name in ("data_root", "masks")},
        "imagenet": {name: Path(file) for name, file in files.items() if file is not None},
    }
    settings = Settings(**{**values, **typed})
    folder = path.parent

    def chosen(key: str) -> Document:
        where = overridden.where() if key in overridden.value else written.where((key,))
        return _chosen(folder / f"{key}s", key, values[key], where)

    return Config(
        settings=settings,
        profile=chosen("profile"),
        recipe=chosen("recipe"),
        variants=_variants(folder / "variants.yaml"),
        tables=_checked(folder / "tables.yaml", "tables"),
        claims=_checked(folder / "claims.yaml", "claims"),
        reported=_reported(folder / "reported.csv"),
        arguments=_arguments(path, overridden.value),
    )


@functools.cache
def schema(name: str) -> dict[str, Any]:
    """A JSON schema of workflow/schemas/."""
    loaded: dict[str, Any] = yaml.read(SCHEMAS / f"{name}.schema.yaml").value
    return loaded


def _overrides(given: Mapping[str, Any]) -> Document:
    """Values of --config and --set, which arrive as text: read as if they stood in the file."""
    return Document(COMMAND_LINE, {key: _from_text(value) for key, value in given.items()})


def _from_text(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_text(item) for item in value]
    return yaml.parse(value, COMMAND_LINE).value if isinstance(value, str) else value


def _arguments(path: Path, overridden: Mapping[str, Any]) -> str:
    words = ["--config", str(path)]
    for key, value in sorted(overridden.items()):
        words += ["--profile", value] if key == "profile" else ["--set", f"{key}={json.dumps(value)}"]
    return shlex.join(words)


def _checked(path: Path, name: str) -> Document:
    found = yaml.read(path)
    yaml.check(found, schema(name))
    return found


def _chosen(folder: Path, noun: str, name: str, where: str) -> Document:
    """The file of a folder that the settings name."""
    known = [path.stem for path in folder.glob("*.yaml")]
    if name not in known:
        raise UserError(f"unknown {noun} '{name}'", where=where, hint=nearest(name, known))
    return _checked(folder / f"{name}.yaml", noun)


def _variants(path: Path) -> Document:
    """Names and shape only: a row's keys depend on its method and are checked where rows are resolved."""
    found = yaml.read(path)
    names = {"type": "object", "minProperties": 1, "additionalProperties": False}
    patterns = {pattern: {"type": "object"} for pattern in schema("variants")["patternProperties"]}
    yaml.check(found, {**names, "patternProperties": patterns})
    return found


def _reported(path: Path) -> dict[str, dict[str, Reported]]:
    found: dict[str, dict[str, Reported]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            if reader.fieldnames != COLUMNS:
                raise UserError(f"the columns are not {','.join(COLUMNS)}", where=f"{path}:1")
            for line in reader:
                where = f"{path}:{reader.line_num}"
                row, metric = line["row"], line["metric"]
                for word, known in ((metric, METRICS), (line["certainty"], CERTAINTIES)):
                    if word not in known:
                        raise UserError(f"unknown word '{word}'", where=where, hint=nearest(str(word), known))
                if metric in found.setdefault(row, {}):
                    raise UserError(f"{metric} of '{row}' is reported twice", where=where)
                delta = _number(line["delta"], where) if line["delta"] else None
                value = _number(line["value"], where)
                found[row][metric] = Reported(value, delta, line["baseline"], line["certainty"], line["note"])
    except OSError as error:
        raise UserError(f"cannot read the file: {error.strerror}", where=str(path)) from error
    return found


def _number(text: str | None, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError as error:
        raise UserError(f"'{text}' is not a number", where=where) from error
    if not math.isfinite(value):
        raise UserError(f"'{text}' is not a number", where=where)
    return value
