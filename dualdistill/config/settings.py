"""Read and check everything under config/ before planning.

Settings choose the runs, a profile holds the numbers, a recipe changes them per method, variants.yaml lists
the rows, tables.yaml, claims.yaml and figures.yaml show them, reported.csv has the poster's numbers.
"""

from __future__ import annotations

import csv
import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints
from pydantic.dataclasses import dataclass as checked

from dualdistill.config import profile as profiles
from dualdistill.config import yaml
from dualdistill.config.profile import Profile
from dualdistill.config.ranges import STRICT, Count, Seed, Several, TeacherSeed, Whole
from dualdistill.config.row_keys import block
from dualdistill.config.validation import build, check, keys
from dualdistill.config.views import METRICS, ClaimsFile, TablesFile
from dualdistill.config.yaml import Document, nearest
from dualdistill.errors import UserError

COMMAND_LINE = "command line"
COLUMNS = ["row", "table", "metric", "value", "delta", "baseline", "certainty", "note"]
CERTAINTIES = ("certain", "inferred")  # inferred: derived from its surroundings, because the print is damaged
RowName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
# the keys of a row depend on its method, so plan/variants.py checks them
Rows = Annotated[dict[RowName, dict[str, Any]], Field(min_length=1)]


@checked(frozen=True, config=STRICT)
class ImageNet:
    """Files of ImageNet weights by backbone, for students with `start: imagenet`."""

    r50: Path | None = None
    r101: Path | None = None


@checked(frozen=True, config=STRICT)
class Devices:
    """Devices of a job, by the kind of run that it trains; in no run's id."""

    pretrain: Whole = 1
    teacher: Whole = 1
    labels: Whole = 1  # of a label encoder
    student: Whole = 1
    predict: Whole = 1  # of the prediction of any run

    def of(self, job: str) -> int:
        """The devices of a kind of run, or of `predict`."""
        count: int = getattr(self, job)
        return count


@checked(frozen=True, config=STRICT)
class Settings:
    """config/config.yaml, with overrides from the command line."""

    profile: str  # a file of config/profiles/
    recipe: str  # a file of config/recipes/
    split: Literal["val", "dev"] = "val"  # split to predict, score and show; dev is for choosing numbers
    seeds: Several[Seed] = (0,)  # every row runs once per seed
    # of the students' teacher and initial weights | each: their own seed | null: as the profile says
    teacher_seed: TeacherSeed | None = None
    data_root: Path | None = None  # of the real nuScenes
    masks: Path | None = None  # instance masks for the real nuScenes
    imagenet: ImageNet = field(default_factory=ImageNet)
    devices: Devices = field(default_factory=Devices)  # of a training or a prediction
    workers: Count = 2  # processes that render the world and add virtual points
    # processes that load samples, for each device of a training or prediction; 0 loads in the process itself
    loaders: Whole | Literal["auto"] = "auto"
    tensorboard: bool = False  # event files of every training

    def teacher_of(self, seed: int) -> int:
        """Seed of the teacher and of the initial weights of the students with a seed."""
        return self.teacher_seed if isinstance(self.teacher_seed, int) else seed

    def imagenet_file(self, depth: int) -> Path | None:
        """The ImageNet weights of a ResNet."""
        file: Path | None = getattr(self.imagenet, f"r{depth}")
        return file


@dataclass(frozen=True)
class Reported:
    """A number on the poster, in points."""

    value: float
    delta: float | None  # to the baseline row, if printed
    baseline: str
    certainty: str
    note: str


@dataclass(frozen=True)
class Config:
    settings: Settings
    profile: Profile
    profile_document: Document
    recipe: Document
    variants: Document
    tables: Document
    claims: Document
    reported: dict[str, dict[str, Reported]]  # row -> metric -> number
    arguments: str  # command-line arguments that give the same configuration


def load(path: Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read the settings at a path and the files beside it."""
    overridden = _overrides(overrides or {})
    file = yaml.read(path)
    check(file, Settings)
    check(overridden, block(keys(Settings)))
    settings = build(Settings, {**file.value, **overridden.value})
    folder = path.parent

    def chosen(key: Literal["profile", "recipe"]) -> Document:
        where = overridden.where() if key in overridden.value else file.where((key,))
        return yaml.choose(folder / f"{key}s", key, getattr(settings, key), where)

    profile, profile_document = profiles.load(chosen("profile"))
    if settings.teacher_seed is None:
        settings = replace(settings, teacher_seed=profile.teacher_seed)
    if profile.data.world is None and settings.data_root and is_stand_in(settings.data_root):
        profile = replace(profile, data=replace(profile.data, stand_in=True))
    variants = yaml.read(folder / "variants.yaml")
    tables, claims = (yaml.read(folder / f"{name}.yaml") for name in ("tables", "claims"))
    for document, kind in ((variants, Rows), (tables, TablesFile), (claims, ClaimsFile)):
        check(document, kind)
    return Config(
        settings=settings,
        profile=profile,
        profile_document=profile_document,
        recipe=chosen("recipe"),
        variants=variants,
        tables=tables,
        claims=claims,
        reported=_reported(folder / "reported.csv"),
        arguments=_arguments(path, overridden.value),
    )


def is_stand_in(root: Path) -> bool:
    """Whether a data root is a world that this suite rendered, which leaves its manifest there."""
    return (root / "world.json").is_file()


def _overrides(given: Mapping[str, Any]) -> Document:
    """Parse the values of --config and --set, which arrive as text, as if they were written in the file."""
    return Document(COMMAND_LINE, {key: _from_text(value) for key, value in given.items()})


def _from_text(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_text(item) for item in value]
    if isinstance(value, dict):
        return {key: _from_text(item) for key, item in value.items()}
    if isinstance(value, str):
        return yaml.parse(value, COMMAND_LINE).value if value.strip() else None  # as behind a key of a file
    return value


def _arguments(path: Path, overridden: Mapping[str, Any]) -> str:
    words = ["--config", str(path)]
    for key, value in sorted(overridden.items()):
        words += ["--profile", value] if key == "profile" else ["--set", f"{key}={json.dumps(value)}"]
    return shlex.join(words)


def _reported(path: Path) -> dict[str, dict[str, Reported]]:
    numbers: dict[str, dict[str, Reported]] = {}
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
                if metric in numbers.setdefault(row, {}):
                    raise UserError(f"{metric} of '{row}' is reported twice", where=where)
                delta = _number(line["delta"], where) if line["delta"] else None
                value = _number(line["value"], where)
                rest = line["baseline"], line["certainty"], line["note"]
                numbers[row][metric] = Reported(value, delta, *rest)
    except OSError as error:
        raise UserError(f"cannot read the file: {error.strerror}", where=str(path)) from error
    return numbers


def _number(text: str | None, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError as error:
        raise UserError(f"'{text}' is not a number", where=where) from error
    if not math.isfinite(value):
        raise UserError(f"'{text}' is not a number", where=where)
    return value
