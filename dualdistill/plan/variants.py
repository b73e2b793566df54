"""Resolve the rows of variants.yaml to frozen specs: the profile's numbers, changed by backbone, recipe, row.

All rows are resolved before any job starts, so that a typo in the last row does not surface after the first
has trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from dualdistill.config import method_options
from dualdistill.config.row_keys import block, method_keys, numbers, row
from dualdistill.config.run_spec import (
    TEACHERS,
    BEVDepthSpec,
    DistillSpec,
    HeadSpec,
    InputSpec,
    LabelEncoderSpec,
    MaskSpec,
    MVPSpec,
    RunSpec,
    ScheduleSpec,
    StudentSpec,
    TeacherInputSpec,
    TeacherSpec,
)
from dualdistill.config.settings import Config
from dualdistill.config.validation import build, check
from dualdistill.config.yaml import nearest
from dualdistill.errors import UserError
from dualdistill.plan import identity, sweeps
from dualdistill.plan.recipe import Recipe
from dualdistill.plan.upstream import UpstreamRuns

# A teacher reads no images: these keep the spec's defaults, so that changing the input of a profile retrains
# no teacher.
CAMERA_FIELDS = (
    "image_height",
    "image_width",
    "resize_jitter",
    "resize_test",
    "decode",
    "image_flip",
    "image_rotate_deg",
    "history_train_s",
    "history_test_s",
    "scene_start",
    "depth_points",
)
FILE = "file"  # weights of a released checkpoint
EPOCHS, STEPS = "schedule.epochs", "schedule.total_steps"  # two ways to state a length


@dataclass(frozen=True)
class Variant:
    """A row of variants.yaml, with everything it inherits."""

    name: str
    kind: Literal["teacher", "student"]
    model: str
    backbone: str | None
    method: str | None
    teacher: str | None
    weights: str | None
    options: dict[str, Any]  # of the method, as the profile and the row write them
    changes: dict[str, Any]  # dotted keys of the profile

    @property
    def imported(self) -> bool:
        return self.weights == FILE


class Resolver:
    """All rows of a configuration, checked and resolved to specs."""

    def __init__(self, config: Config) -> None:
        self.config = replace(config, variants=sweeps.expand(config.variants))
        self.rows: dict[str, dict[str, Any]] = self.config.variants.value
        self.profile = config.profile
        self.data = self.profile.data
        self.upstream = UpstreamRuns(config)
        self._check_backbones()
        self.recipe = Recipe(config.recipe, self.profile)
        self.merged: dict[str, dict[str, Any]] = {}
        for name in self.rows:
            self._merge(name)
        self.variants = {name: self._variant(name) for name in self.rows}
        for variant in self.variants.values():
            self._check(variant)

    def spec(self, name: str, seed: int) -> RunSpec:
        """The spec of a row with a seed, which holds the specs of its teacher and of its initial weights."""
        variant = self.variants[name]
        values: dict[str, Any] = {
            "input": asdict(self._input(variant.kind)),
            "model": asdict(self._preset(variant)),
            "schedule": asdict(self._schedule(variant.kind)),
            "label_encoder": asdict(self.profile.label_encoder),
        }
        backbone = self.profile.backbones[variant.backbone] if variant.backbone else {}
        teaching = self.variants[variant.teacher].model if variant.teacher else None
        recipe = self.recipe.changes(variant.method or variant.model, variant.backbone, teaching)
        if variant.imported:
            recipe = _as_released(values["model"])  # a recipe is for trainings
        for key, value in {**backbone, **recipe, **variant.changes}.items():
            values = _changed(values, key.split("."), value)
        model, input_spec = (
            self._model(variant, values["model"]),
            self._checked_input(variant, values["input"]),
        )
        if variant.imported:
            return self._imported(variant, model, input_spec)
        start = self.spec(variant.weights, seed) if variant.weights else None
        if start:
            model = self._starting_from(name, start, model)
        distill, teacher = None, None
        earlier_seed = self.config.settings.teacher_of(seed)
        if variant.method and variant.teacher:
            teacher = self.spec(variant.teacher, earlier_seed)
            encoder = build(LabelEncoderSpec, values["label_encoder"])
            distill = self._distill(variant, teacher, encoder, earlier_seed)
        return RunSpec(
            kind=variant.kind,
            seed=seed,
            data=self.data,
            grid=self.profile.grid,
            input=input_spec,
            model=model,
            schedule=self._checked_schedule(variant, values["schedule"], recipe),
            threads=self.profile.threads,
            versions=identity.of_training(self.data, model, distill, input_spec),
            distill=distill,
            teacher=teacher,
            pretraining=start or self.upstream.start(name, model, earlier_seed),
        )

    def _imported(self, variant: Variant, model: Any, input_spec: InputSpec) -> RunSpec:
        """The run of a released file: one for all seeds, and of a network without a training."""
        return RunSpec(
            kind=variant.kind,
            seed=0,
            data=self.data,
            grid=self.profile.grid,
            input=input_spec,
            model=replace(model, start="random") if isinstance(model, StudentSpec) else model,
            schedule=ScheduleSpec(epochs=0),
            threads=self.profile.threads,
            versions=identity.of_import(self.data, model),
            imported=variant.name,
        )

    def _distill(
        self, variant: Variant, teacher: RunSpec, encoder: LabelEncoderSpec, seed: int
    ) -> DistillSpec:
        """The row's method, with the label encoder and masks that its class asks for."""
        method = str(variant.method)
        options = method_options.fill(method, variant.options)
        label_encoder, masks = None, None
        if method_options.trait(method, "label_encoder"):
            label_encoder = self.upstream.label_encoder(teacher, encoder, seed)
        if options.get(method_options.trait(method, "masks_option")):
            # the profile's masks for the teacher mvp
            virtual = self._checked_masks(variant.name, self.profile.teachers.mvp).virtual
            masks = MaskSpec(virtual.masks, virtual.damage)
        return DistillSpec(method, options, label_encoder, masks)

    def _preset(self, variant: Variant) -> StudentSpec | TeacherSpec:
        presets: dict[str, Any] = self.profile.students | vars(self.profile.teachers)
        preset: StudentSpec | TeacherSpec = presets[variant.model]
        return preset

    def _schedule(self, kind: str) -> ScheduleSpec:
        return self.profile.schedules.teacher if kind == "teacher" else self.profile.schedules.student

    def _input(self, kind: str) -> InputSpec:
        if kind == "student":
            return self.profile.input
        shared = {key: value for key, value in asdict(self.profile.input).items() if key not in CAMERA_FIELDS}
        changes = {key: value for key, value in vars(self.profile.teacher_input).items() if value is not None}
        return TeacherInputSpec(**(shared | changes))

    def _model(self, variant: Variant, values: Mapping[str, Any]) -> Any:
        model = build(type(self._preset(variant)), values)
        return self._checked_masks(variant.name, model) if isinstance(model, MVPSpec) else model

    def _checked_masks(self, name: str, model: MVPSpec) -> MVPSpec:
        """Refuse masks that the data set does not have; drop the damage of any but noisy masks."""
        virtual = model.virtual
        if virtual.masks != "file" and not self.data.world:
            what = f"row '{name}' asks for {virtual.masks} masks, which only the synthetic world has"
            where = self.where(name, "model.virtual.masks")
            raise UserError(what, where=where, hint="model.virtual.masks: file")
        if virtual.masks != "noisy":
            return replace(model, virtual=replace(virtual, damage=None))
        if virtual.damage is None:
            what = f"row '{name}' asks for noisy masks, and model.virtual.damage is null"
            hint = "see teachers.mvp in config/profiles/world.yaml"
            raise UserError(what, where=self.where(name, "model.virtual.damage"), hint=hint)
        return model

    def _checked_input(self, variant: Variant, values: Mapping[str, Any]) -> InputSpec:
        """Refuse a degraded LiDAR under virtual points, and depth from virtual points that no teacher has."""
        if variant.kind == "student":
            student_input: InputSpec = build(InputSpec, values)
            teacher = self.variants[variant.teacher].model if variant.teacher else None
            if student_input.depth_points == "virtual" and teacher != MVPSpec.network:
                what = (
                    f"row '{variant.name}' takes depth from virtual points, which its teacher does not have"
                )
                where = self.where(variant.name, "input.depth_points")
                raise UserError(what, where=where, hint="teacher: mvp, or input.depth_points: lidar")
            return student_input
        teacher_input: TeacherInputSpec = build(TeacherInputSpec, values)
        if TEACHERS[variant.model] is MVPSpec and teacher_input.degraded:
            what = f"row '{variant.name}' degrades the LiDAR of a teacher with virtual points"
            degraded = ("input.every_ring", "input.range_noise_m")
            where = self.where(variant.name, *(key for key in degraded if key in variant.changes))
            raise UserError(what, where=where, hint="they are made from the whole cloud; degrade centerpoint")
        return teacher_input

    def _checked_schedule(
        self, variant: Variant, values: Mapping[str, Any], recipe: Mapping[str, Any]
    ) -> ScheduleSpec:
        """Refuse keys that contradict each other."""
        schedule: ScheduleSpec = build(ScheduleSpec, values)
        if schedule.fault:
            changed = (key for key in variant.changes if key.startswith("schedule."))
            what = f"row '{variant.name}': {schedule.fault}"
            raise UserError(what, where=self.where(variant.name, *changed))
        if schedule.total_steps is not None:
            self._check_epochs(variant, recipe)
        return schedule

    def _check_epochs(self, variant: Variant, recipe: Mapping[str, Any]) -> None:
        """Refuse epochs of a row or recipe where steps decide, which would have no effect."""
        hint = f"add {STEPS}: null"
        if EPOCHS in self.rows[variant.name]:
            what = f"row '{variant.name}' sets {EPOCHS}, and {STEPS} decides"
            raise UserError(what, where=self.where(variant.name, EPOCHS), hint=hint)
        if EPOCHS in recipe and STEPS not in {**recipe, **variant.changes}:
            what = f"the recipe sets {EPOCHS} of row '{variant.name}', and {STEPS} of the profile decides"
            raise UserError(what, where=self.config.recipe.name, hint=hint)

    def where(self, name: str, *keys: str) -> str:
        """The line of a row's key, which may be written in a row that it inherits from."""
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
        of_profile = self.profile.methods.get(merged.get("method", ""), {})
        return Variant(
            name=name,
            kind=self._kind(name, model),
            model=model,
            backbone=merged.get("backbone"),
            method=merged.get("method"),
            teacher=merged.get("teacher"),
            weights=merged.get("weights"),
            options=of_profile | {key: value for key, value in rest.items() if "." not in key},
            changes={key: value for key, value in rest.items() if "." in key},
        )

    def _merge(self, name: str) -> dict[str, Any]:
        """The keys of a row and those it inherits, checked; another method drops inherited options."""
        if name not in self.merged:
            written = {key: value for key, value in self.rows[name].items() if key != "from"}
            parent = self._parent(name)
            inherited = self._merge(parent) if parent else {}
            before, after = inherited.get("method"), written.get("method", inherited.get("method"))
            if before != after:
                dropped = method_keys(before) if before else {}
                inherited = {key: value for key, value in inherited.items() if key not in dropped}
            self.merged[name] = inherited | written
            self._check_keys(name, self.merged[name])
        return self.merged[name]

    def _parent(self, name: str) -> str | None:
        """The row that a row inherits from, after refusing unknown rows and circles among its ancestors."""
        ancestors = [name]
        while (parent := self.rows[ancestors[-1]].get("from")) is not None:
            heir = ancestors[-1]
            where = self.config.variants.where((heir, "from"))
            if not isinstance(parent, str):
                raise UserError(f"'from' in row '{heir}' must be text", where=where)
            if parent not in self.rows:
                what = f"row '{heir}' starts from the unknown row '{parent}'"
                raise UserError(what, where=where, hint=nearest(parent, set(self.rows) - {heir}))
            if parent in ancestors:
                circle = " -> ".join([*ancestors[ancestors.index(parent) :], parent])
                raise UserError(f"rows start from each other in a circle: {circle}", where=where)
            ancestors.append(parent)
        return ancestors[1] if len(ancestors) > 1 else None

    def _check_keys(self, name: str, merged: Mapping[str, Any]) -> None:
        """Check the keys written in a row, which depend on its method and model, possibly inherited."""
        method, model = merged.get("method"), merged.get("model")
        if isinstance(method, str) and method not in method_options.methods():
            what = f"unknown method '{method}' in row '{name}'"
            hint = nearest(method, method_options.methods())
            raise UserError(what, where=self.where(name, "method"), hint=hint)
        if isinstance(model, str):
            self._kind(name, model)
        known = row(model if isinstance(model, str) else None, method if isinstance(method, str) else None)
        check(self.config.variants, known, at=(name,), noun="row")

    def _kind(self, name: str, model: str) -> Literal["teacher", "student"]:
        if model in TEACHERS:
            return "teacher"
        if model in self.profile.students:
            return "student"
        what = f"unknown model '{model}' in row '{name}'"
        hint = nearest(model, [*TEACHERS, *self.profile.students])
        raise UserError(what, where=self.where(name, "model"), hint=hint)

    def _check(self, variant: Variant) -> None:
        """Check the constraints between the keys of a row."""
        name, where = variant.name, self.where(variant.name)
        if variant.kind == "teacher":
            if variant.backbone or variant.method or variant.teacher:
                hint = "only students have a backbone, a method or a teacher"
                raise UserError(f"row '{name}' trains the teacher '{variant.model}'", where=where, hint=hint)
            self._check_weights(variant)
            return
        backbones = self.profile.backbones
        if variant.backbone is None:
            raise UserError(f"row '{name}' names no backbone", where=where, hint=nearest("", backbones))
        if variant.backbone not in backbones:
            what = f"unknown backbone '{variant.backbone}' in row '{name}'"
            hint = nearest(variant.backbone, backbones)
            raise UserError(what, where=self.where(name, "backbone"), hint=hint)
        if bool(variant.method) != bool(variant.teacher):
            given, missing = ("method", "teacher") if variant.method else ("teacher", "method")
            what = f"row '{name}' has a {given} but no {missing}"
            raise UserError(what, where=where, hint=f"add {missing}:")
        if variant.teacher is not None:
            self._check_named(name, "teacher", f"row '{name}' learns from", variant.teacher, "teacher")
        self._check_weights(variant)

    def _check_weights(self, variant: Variant) -> None:
        """Check that initial weights come from a row of the same kind and that rows do not form a circle."""
        names, current = [variant.name], variant
        while (earlier := current.weights) is not None and not current.imported:
            name = current.name
            self._check_named(name, "weights", f"row '{name}' has the weights of", earlier, variant.kind)
            current = self.variants[earlier]
            if earlier in names:
                circle = " -> ".join([*names[names.index(earlier) :], earlier])
                what = f"rows have each other's weights in a circle: {circle}"
                raise UserError(what, where=self.where(name, "weights"))
            names.append(earlier)

    def _starting_from(self, name: str, earlier: RunSpec, model: Any) -> Any:
        """The network of a row that has all weights of another, after refusing a different one."""
        if isinstance(model, StudentSpec):
            model = replace(model, start="random")  # no other weights
        if _weights_of(model) != _weights_of(earlier.model):
            what = (
                f"row '{name}' has the weights of '{self.variants[name].weights}', which is another network"
            )
            hint = "model, backbone and every model.* have to be the same"
            raise UserError(what, where=self.where(name, "weights"), hint=hint)
        return model

    def _check_named(self, name: str, key: str, claim: str, other: str, kind: str) -> None:
        """Refuse a row that is unknown or of another kind; `claim` begins the sentence."""
        fitting = [row for row, variant in self.variants.items() if variant.kind == kind]
        if other not in fitting:
            known = other in self.rows
            what = (
                f"{claim} '{other}', which is not a {kind}" if known else f"{claim} the unknown row '{other}'"
            )
            raise UserError(what, where=self.where(name, key), hint=nearest(other, fitting))

    def _check_backbones(self) -> None:
        """Check that backbones change only numbers that all students have."""
        common = [numbers(student) for student in self.profile.students]
        first = common[0] if common else {}
        known = {key: kind for key, kind in first.items() if all(key in other for other in common)}
        for name in self.profile.backbones:
            check(self.config.profile_document, block(known), at=("backbones", name), noun="backbone")


def _as_released(model: Mapping[str, Any]) -> dict[str, Any]:
    """Keys in which a released student differs from those that are trained here."""
    return {"model.geometry": "released", "input.decode": "exact"} if "geometry" in model else {}


def _weights_of(model: Any) -> Any:
    """A network without what its weights do not depend on: its losses and the decoding of its boxes."""
    if not isinstance(model, BEVDepthSpec):
        return model
    free = ("start", "geometry", "activation_checkpoint", "depth_loss", "depth_weight")
    plain = {key: getattr(BEVDepthSpec(), key) for key in free}
    return replace(model, head=HeadSpec(share_channels=model.head.share_channels), **plain)


def _changed(values: Mapping[str, Any], keys: list[str], value: Any) -> dict[str, Any]:
    """A copy with the number at a path replaced."""
    first, *rest = keys
    return {**values, first: _changed(values[first], rest, value) if rest else value}
