"""From a row of YAML to a frozen RunSpec: the profile's numbers, and what backbone, recipe and row change.

All rows are resolved before any job starts: a slip in the last row does not wait for the first to train.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dualdistill.config import method_options, run_spec, yaml
from dualdistill.config.building import build, changed
from dualdistill.config.keys import changeable, option_schema
from dualdistill.config.run_spec import (
    CAMERA_FIELDS,
    TEACHERS,
    DataSpec,
    DistillSpec,
    GridSpec,
    InputSpec,
    LabelledDistillSpec,
    MaskedDistillSpec,
    MaskSpec,
    MVPSpec,
    RunSpec,
    ScheduleSpec,
    StudentSpec,
    available,
)
from dualdistill.config.settings import Config, schema
from dualdistill.config.yaml import nearest
from dualdistill.errors import UserError
from dualdistill.plan import identity, sweeps
from dualdistill.plan.recipe import Recipe
from dualdistill.plan.upstream import Stages


@dataclass(frozen=True)
class Variant:
    """A row with everything it inherits."""

    name: str
    kind: str  # teacher | student
    model: str
    backbone: str | None
    method: str | None
    teacher: str | None
    weights: str | None
    options: dict[str, Any]  # of the method, as written
    changes: dict[str, Any]  # dotted keys into the profile

    @property
    def own_network(self) -> dict[str, Any]:
        return {key: value for key, value in self.changes.items() if key.startswith("model.")}


class Resolver:
    """All rows of one configuration."""

    def __init__(self, config: Config) -> None:
        self.config = replace(config, variants=sweeps.expand(config.variants))
        self.rows: dict[str, dict[str, Any]] = self.config.variants.value
        self.profile: dict[str, Any] = config.profile.value
        self.data = build(DataSpec, self.profile["data"])
        self.stages = Stages(config, self.data)
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
            values = changed(values, key.split("."), value)
        model, seen = self._model(name, variant.model, values["model"]), self._seen(variant, values["input"])
        distill, teacher = None, None
        if variant.method and variant.teacher:
            teacher = self.spec(variant.teacher, self.config.settings.teacher_seed)
            distill = self._distill(name, variant, teacher)
        return RunSpec(
            kind=variant.kind,
            seed=seed,
            data=self.data,
            grid=build(GridSpec, self.profile["grid"]),
            input=seen,
            model=model,
            schedule=build(ScheduleSpec, values["schedule"]),
            threads=self.profile["threads"],
            versions=identity.of_training(self.data, model, distill),
            distill=distill,
            teacher=teacher,
            pretraining=(
                self.spec(variant.weights, seed) if variant.weights else self.stages.start(name, model, seen)
            ),
        )

    def _distill(self, name: str, variant: Variant, teacher: RunSpec) -> DistillSpec:
        """The row's method, with what its class says that it learns from."""
        method = str(variant.method)
        options = method_options.fill(method, variant.options)
        if method_options.trait(method, "label_encoder"):
            return LabelledDistillSpec(method, options, self.stages.label_encoder(teacher))
        if options.get(method_options.trait(method, "masks_option")):
            # the masks that the profile gives to mvp
            virtual = self._model(name, "mvp", self.profile["teachers"]["mvp"]).virtual
            return MaskedDistillSpec(method, options, MaskSpec(virtual.masks, virtual.damage))
        return DistillSpec(method, options)

    def _input(self, kind: str) -> dict[str, Any]:
        shared: dict[str, Any] = self.profile["input"]
        if kind == "student":
            return shared
        seen = {key: value for key, value in shared.items() if key not in CAMERA_FIELDS}
        return seen | self.profile["teacher_input"]

    def _model(self, name: str, model: str, values: Mapping[str, Any]) -> Any:
        """A row's network, once it is sure that its masks can be had."""
        found = build(TEACHERS.get(model, StudentSpec), values)
        if isinstance(found, MVPSpec):
            masks = available(found.virtual, self.data.world is not None, name, partial(self.where, name))
            return replace(found, virtual=masks)
        return found

    def _seen(self, variant: Variant, values: Mapping[str, Any]) -> InputSpec:
        """The input, once it is sure that its LiDAR can be had."""
        seen = run_spec.input_spec(values)
        if TEACHERS.get(variant.model) is MVPSpec and isinstance(seen, run_spec.DegradedInputSpec):
            what = f"row '{variant.name}' degrades the LiDAR of a teacher with virtual points"
            where = self.where(variant.name, *(f"input.{key}" for key in run_spec.KEYS if key in values))
            raise UserError(what, where=where, hint="they are made from the whole cloud; degrade centerpoint")
        return seen

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
        named = ("model", "backbone", "method", "teacher", "weights")
        rest = {key: value for key, value in merged.items() if key not in named}
        return Variant(
            name=name,
            kind=self._kind(name, model),
            model=model,
            backbone=merged.get("backbone"),
            method=merged.get("method"),
            teacher=merged.get("teacher"),
            weights=merged.get("weights"),
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
                dropped = method_options.options(before) if before else {}
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
        method, model, methods = merged.get("method"), merged.get("model"), method_options.methods()
        if isinstance(method, str):
            if method not in methods:
                what = f"unknown method '{method}' in row '{name}'"
                raise UserError(what, where=self.where(name, "method"), hint=nearest(method, methods))
            properties |= {
                key: option_schema(option) for key, option in method_options.options(method).items()
            }
        if isinstance(model, str):
            properties |= changeable(model if self._kind(name, model) == "teacher" else "student")
        wanted = {**shape, "properties": properties, "$defs": schema("profile")["$defs"]}
        yaml.check(self.config.variants, wanted, at=(name,), noun="row")

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
            self._check_weights(variant)
            return
        if variant.weights:
            what = f"row '{name}' is a student and has weights, which are for teachers"
            raise UserError(what, where=self.where(name, "weights"), hint="a student has model.start")
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
        self._known_teacher(name, "teacher", f"row '{name}' learns from", teacher)

    def _check_weights(self, variant: Variant) -> None:
        """They are of the same network, and the way back to a row without them ends."""
        found = [variant]
        while (earlier := found[-1].weights) is not None:
            name = found[-1].name
            self._known_teacher(name, "weights", f"row '{name}' has the weights of", earlier)
            found.append(self.variants[earlier])
            where, names = self.where(name, "weights"), [one.name for one in found]
            if earlier in names[:-1]:
                circle = " -> ".join(names[names.index(earlier) :])
                raise UserError(f"rows have each other's weights in a circle: {circle}", where=where)
            if found[-1].model != variant.model or found[-1].own_network != variant.own_network:
                what = f"row '{name}' has the weights of '{earlier}', which is another network"
                raise UserError(what, where=where, hint="model and every model.* have to be the same")

    def _known_teacher(self, name: str, key: str, says: str, teacher: str) -> None:
        where = self.where(name, key)
        teachers = [row for row, variant in self.variants.items() if variant.kind == "teacher"]
        if teacher not in self.rows:
            raise UserError(
                f"{says} the unknown row '{teacher}'", where=where, hint=nearest(teacher, teachers)
            )
        if teacher not in teachers:
            what = f"{says} '{teacher}', which is no teacher"
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
            yaml.check(self.config.profile, rules, at=("backbones", name), noun="backbone")
