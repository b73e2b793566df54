"""From a row of YAML to a frozen RunSpec: the profile's numbers, and what backbone, recipe and row change.

All rows are resolved before any job starts: a slip in the last row does not wait for the first to train.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from dualdistill import document, registry, versions
from dualdistill.config import Config, schema
from dualdistill.document import nearest
from dualdistill.errors import UserError
from dualdistill.keys import changeable, option_schema
from dualdistill.mask_spec import MaskSpec, available
from dualdistill.recipe import Recipe
from dualdistill.spec import (
    CAMERA_FIELDS,
    TEACHERS,
    ClassifierSpec,
    CropSpec,
    DataSpec,
    DistillSpec,
    GridSpec,
    InputSpec,
    MaskedDistillSpec,
    MVPSpec,
    RunSpec,
    ScheduleSpec,
    StudentSpec,
    TeacherSpec,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Variant:
    """A row with everything it inherits."""

    name: str
    kind: str  # teacher | student
    model: str
    backbone: str | None
    method: str | None
    teacher: str | None
    options: dict[str, Any]  # of the method, as written
    changes: dict[str, Any]  # dotted keys into the profile


class Resolver:
    """All rows of one configuration."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.rows: dict[str, dict[str, Any]] = config.variants.value
        self.profile: dict[str, Any] = config.profile.value
        self.data = build(DataSpec, self.profile["data"])
        self._check_profile()
        self.recipe = Recipe(config.recipe, self.profile)
        self.merged: dict[str, dict[str, Any]] = {}
        for name in self.rows:
            self._merge(name)
        self.variants = {name: self._variant(name) for name in self.rows}
        for variant in self.variants.values():
            self._check(variant)

    def spec(self, name: str, seed: int) -> RunSpec:
        """The run of a row with a seed; inside it the runs of its teacher and of its starting weights."""
        variant = self.variants[name]
        values: dict[str, Any] = {
            "input": self._input(variant.kind),
            "model": self.profile[f"{variant.kind}s"][variant.model],
            "schedule": self.profile["schedules"][variant.kind],
        }
        backbone = self.profile["backbones"][variant.backbone] if variant.backbone else {}
        recipe = self.recipe.changes(variant.method or variant.model, variant.backbone)
        for key, value in {**backbone, **recipe, **variant.changes}.items():
            values = _changed(values, key.split("."), value)
        model = self._model(name, variant.model, values["model"])
        distill, teacher = None, None
        if variant.method and variant.teacher:
            distill = self._taught_by(name, variant.method, variant.options)
            teacher = self.spec(variant.teacher, self.config.settings.teacher_seed)
        return RunSpec(
            kind=variant.kind,
            seed=seed,
            data=self.data,
            grid=build(GridSpec, self.profile["grid"]),
            input=build(InputSpec, values["input"]),
            model=model,
            schedule=build(ScheduleSpec, values["schedule"]),
            threads=self.profile["threads"],
            versions=versions.of_training(self.data, model, distill),
            distill=distill,
            teacher=teacher,
            pretraining=self._pretraining(name, model),
        )

    def _input(self, kind: str) -> dict[str, Any]:
        shared: dict[str, Any] = self.profile["input"]
        if kind == "student":
            return shared
        seen = {key: value for key, value in shared.items() if key not in CAMERA_FIELDS}
        return seen | self.profile["teacher_input"]

    def _taught_by(self, name: str, method: str, given: Mapping[str, Any]) -> DistillSpec:
        """A row's method, with the masks where it reads some: those that the profile gives to mvp."""
        options = registry.fill(method, given)
        if not options.get(registry.trait(method, "masks_option")):
            return DistillSpec(method, options)
        virtual = self._model(name, "mvp", self.profile["teachers"]["mvp"]).virtual
        return MaskedDistillSpec(method, options, MaskSpec(virtual.masks, virtual.damage))

    def _model(self, name: str, model: str, values: Mapping[str, Any]) -> Any:
        """A row's network, once it is sure that its masks can be had."""
        found = build(TEACHERS.get(model, StudentSpec), values)
        if isinstance(found, MVPSpec):
            masks = available(found.virtual, self.data.world is not None, name, partial(self.where, name))
            return replace(found, virtual=masks)
        return found

    def _pretraining(self, name: str, model: StudentSpec | TeacherSpec) -> RunSpec | None:
        """The run whose backbone a student starts from; one for the students of all seeds."""
        if isinstance(model, TeacherSpec) or model.start != "pretrained":
            return None
        parts = {
            ("data", "pretrain_split"): self.data.pretrain_split,
            ("crops",): self.profile["crops"],
            ("schedules", "pretrain"): self.profile["schedules"]["pretrain"],
        }
        for place, value in parts.items():
            if value is None:
                what = f"row '{name}' starts from a pre-training and '{'.'.join(place)}' is null"
                where = self.config.profile.where(place)
                raise UserError(what, where=where, hint="fill it in, or choose another model.start")
        crops, schedule = parts[("crops",)], parts[("schedules", "pretrain")]
        return RunSpec(
            kind="pretrain",
            seed=self.config.settings.teacher_seed,
            data=self.data,
            # crops know neither grid nor frames: both keep the spec's own values, as the hidden fields above
            grid=GridSpec(),
            input=InputSpec(),
            model=ClassifierSpec(model.depth, model.width, build(CropSpec, crops)),
            schedule=build(ScheduleSpec, schedule),
            threads=self.profile["threads"],
            versions=versions.of_training(self.data),
        )

    def where(self, name: str, *keys: str) -> str:
        """The line on which a row, or the ancestor it has a key from, says something."""
        while keys and keys[0] not in self.rows[name] and "from" in self.rows[name]:
            name = self.rows[name]["from"]
        return self.config.variants.where((name, *keys))

    def _variant(self, name: str) -> Variant:
        merged = self.merged[name]
        model = merged.get("model")
        if model is None:
            what = f"row '{name}' names no model"
            raise UserError(what, where=self.where(name), hint="add model: or from:")
        named = ("model", "backbone", "method", "teacher")
        rest = {key: value for key, value in merged.items() if key not in named}
        return Variant(
            name=name,
            kind=self._kind(name, model),
            model=model,
            backbone=merged.get("backbone"),
            method=merged.get("method"),
            teacher=merged.get("teacher"),
            options={key: value for key, value in rest.items() if "." not in key},
            changes={key: value for key, value in rest.items() if "." in key},
        )

    def _merge(self, name: str) -> dict[str, Any]:
        """What a row says and inherits; its own keys are checked on the way."""
        if name not in self.merged:
            own = {key: value for key, value in self.rows[name].items() if key != "from"}
            parent = self._parent(name)
            inherited = self._merge(parent) if parent else {}
            before, after = inherited.get("method"), own.get("method", inherited.get("method"))
            if before != after:
                dropped = registry.options(before) if before else {}
                inherited = {key: value for key, value in inherited.items() if key not in dropped}
            self.merged[name] = inherited | own
            self._check_keys(name, self.merged[name])
        return self.merged[name]

    def _parent(self, name: str) -> str | None:
        """The row a row starts from, once it is sure that the way up ends."""
        found = [name]
        while (parent := self.rows[found[-1]].get("from")) is not None:
            where = self.config.variants.where((found[-1], "from"))
            if not isinstance(parent, str):
                raise UserError(f"'from' in row '{found[-1]}' must be text", where=where)
            if parent not in self.rows:
                what = f"row '{found[-1]}' starts from the unknown row '{parent}'"
                raise UserError(what, where=where, hint=nearest(parent, set(self.rows) - {found[-1]}))
            if parent in found:
                circle = " -> ".join([*found[found.index(parent) :], parent])
                raise UserError(f"rows start from each other in a circle: {circle}", where=where)
            found.append(parent)
        return found[1] if len(found) > 1 else None

    def _check_keys(self, name: str, merged: Mapping[str, Any]) -> None:
        """A row's own keys, given what it has inherited."""
        shape = next(iter(schema("variants")["patternProperties"].values()))
        properties = dict(shape["properties"])
        method, model, methods = merged.get("method"), merged.get("model"), registry.methods()
        if isinstance(method, str):
            if method not in methods:
                what = f"unknown method '{method}' in row '{name}'"
                raise UserError(what, where=self.where(name, "method"), hint=nearest(method, methods))
            properties |= {key: option_schema(option) for key, option in registry.options(method).items()}
        if isinstance(model, str):
            properties |= changeable(model if self._kind(name, model) == "teacher" else "student")
        wanted = {**shape, "properties": properties, "$defs": schema("profile")["$defs"]}
        document.check(self.config.variants, wanted, at=(name,), noun="row")

    def _kind(self, name: str, model: str) -> str:
        for kind in ("teacher", "student"):
            if model in self.profile[f"{kind}s"]:
                return kind
        known = [*self.profile["teachers"], *self.profile["students"]]
        what = f"unknown model '{model}' in row '{name}'"
        raise UserError(what, where=self.where(name, "model"), hint=nearest(model, known))

    def _check(self, variant: Variant) -> None:
        """What one key of a row demands of the others."""
        name, where = variant.name, self.where(variant.name)
        if variant.kind == "teacher":
            if variant.backbone or variant.method or variant.teacher:
                hint = "only students have a backbone, a method or a teacher"
                raise UserError(f"row '{name}' trains the teacher '{variant.model}'", where=where, hint=hint)
            return
        backbones = self.profile["backbones"]
        if variant.backbone is None:
            raise UserError(f"row '{name}' names no backbone", where=where, hint=nearest("", backbones))
        if variant.backbone not in backbones:
            what, where = (
                f"unknown backbone '{variant.backbone}' in row '{name}'",
                self.where(name, "backbone"),
            )
            raise UserError(what, where=where, hint=nearest(variant.backbone, backbones))
        if bool(variant.method) != bool(variant.teacher):
            given, missing = ("method", "teacher") if variant.method else ("teacher", "method")
            what = f"row '{name}' has a {given} but no {missing}"
            raise UserError(what, where=where, hint=f"add {missing}:")
        if variant.teacher is not None:
            self._check_teacher(name, variant.teacher)

    def _check_teacher(self, name: str, teacher: str) -> None:
        where = self.where(name, "teacher")
        teachers = [row for row, variant in self.variants.items() if variant.kind == "teacher"]
        if teacher not in self.rows:
            what = f"row '{name}' learns from the unknown row '{teacher}'"
            raise UserError(what, where=where, hint=nearest(teacher, teachers))
        if teacher not in teachers:
            what = f"row '{name}' learns from '{teacher}', which is no teacher"
            raise UserError(what, where=where, hint=nearest(teacher, teachers))

    def _check_profile(self) -> None:
        """What a schema cannot say about a profile."""
        grid = build(GridSpec, self.profile["grid"])
        if abs(grid.cells * grid.cell_m - 2 * grid.half_extent_m) > 1e-9 or grid.cells % 8:
            size = f"{2 * grid.half_extent_m} m in cells of {grid.cell_m} m"
            what = f"a grid of {size} is not a multiple of 8 cells"
            raise UserError(what, where=self.config.profile.where(("grid",)))
        allowed = {"type": "object", "additionalProperties": False, "properties": changeable("student")}
        for name in self.profile["backbones"]:
            rules = {**allowed, "$defs": schema("profile")["$defs"]}
            document.check(self.config.profile, rules, at=("backbones", name), noun="backbone")


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


def _changed(values: Mapping[str, Any], keys: list[str], value: Any) -> dict[str, Any]:
    """A copy with one number at a path replaced."""
    first, *rest = keys
    return {**values, first: _changed(values[first], rest, value) if rest else value}
