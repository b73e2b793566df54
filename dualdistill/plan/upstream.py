"""The runs that a student needs and that no row names: what it starts from, and a label encoder."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from dualdistill.config.run_spec import (
    ClassifierSpec,
    GridSpec,
    InputSpec,
    RunSpec,
    ScheduleSpec,
    StudentSpec,
    TeacherSpec,
)
from dualdistill.config.settings import Config
from dualdistill.errors import UserError
from dualdistill.plan import identity

BEV_FIELDS = ("bev_rotate_deg", "bev_scale", "bev_flip")  # all augmentation that moves a box


class Stages:
    """The runs that students rest on: starting weights per backbone, a label encoder per teacher."""

    def __init__(self, config: Config) -> None:
        self.config, self.profile = config, config.profile

    def start(self, name: str, model: StudentSpec | TeacherSpec, seen: InputSpec) -> RunSpec | None:
        """The run whose weights the row's student starts from."""
        if isinstance(model, TeacherSpec):
            return None
        if model.start == "detector":
            return self._detector(name, replace(model, start="pretrained"), seen)
        return self._backbone(name, model) if model.start == "pretrained" else None

    def _detector(self, name: str, model: StudentSpec, seen: InputSpec) -> RunSpec:
        """The student without a teacher, on the same frames, from a backbone or from a shallower detector."""
        config = self._need(name, ("detector",))
        if config.grows_from and config.grows_from < model.depth:
            schedule = self._need(name, ("schedules", "grown"), "set detector.grows_from to null")
            before = self._detector(name, replace(model, depth=config.grows_from), seen)
            model = replace(model, start="detector")
        else:
            before = self._backbone(name, model)
            schedule = self._need(name, ("schedules", "detector"))
        changes = {key: value for key, value in vars(config.input).items() if value is not None}
        return replace(
            self._run("detector", self.profile.grid, replace(seen, **changes), model, schedule),
            pretraining=before,
            cell_class_weight=config.cell_class_weight,
        )

    def _backbone(self, name: str, model: StudentSpec) -> RunSpec:
        self._need(name, ("data", "pretrain_split"))
        crops = self._need(name, ("crops",))
        schedule = self._need(name, ("schedules", "pretrain"))
        # crops know neither grid nor frames: both keep the spec's own values, as a teacher's camera fields do
        classifier = ClassifierSpec(model.depth, model.width, crops)
        return self._run("pretrain", GridSpec(), InputSpec(), classifier, schedule)

    def label_encoder(self, teacher: RunSpec) -> RunSpec:
        """The run that encodes boxes as a teacher's features; its boxes are augmented like the students'."""
        augmentation = {key: value for key, value in asdict(self.profile.input).items() if key in BEV_FIELDS}
        model, schedule = self.profile.label_encoder, self.profile.schedules.labels
        return replace(
            self._run("labels", teacher.grid, InputSpec(**augmentation), model, schedule), teacher=teacher
        )

    def _need(self, name: str, place: tuple[str, ...], instead: str = "choose another model.start") -> Any:
        """What the profile has at a place, which a row's start cannot do without."""
        value: Any = self.profile
        for key in place:
            value = getattr(value, key)
        if value is None:
            what = f"row '{name}' starts from a pre-training and '{'.'.join(place)}' is null"
            where = self.config.profile_document.where(place)
            raise UserError(what, where=where, hint=f"fill it in, or {instead}")
        return value

    def _run(self, kind: Any, grid: GridSpec, seen: InputSpec, model: Any, schedule: ScheduleSpec) -> RunSpec:
        return RunSpec(
            kind=kind,
            seed=self.config.settings.teacher_seed,
            data=self.profile.data,
            grid=grid,
            input=seen,
            model=model,
            schedule=schedule,
            threads=self.profile.threads,
            versions=identity.of_training(self.profile.data),
        )
