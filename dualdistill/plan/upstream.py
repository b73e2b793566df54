"""Runs that students need without a row of their own: initial weights and label encoders."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from dualdistill.config.run_spec import (
    ClassifierSpec,
    GridSpec,
    InputSpec,
    LabelEncoderSpec,
    RunSpec,
    ScheduleSpec,
    StudentSpec,
    TeacherSpec,
)
from dualdistill.config.settings import Config
from dualdistill.errors import UserError
from dualdistill.plan import identity

BEV_FIELDS = ("bev_rotate_deg", "bev_scale", "bev_flip")  # the augmentation that moves boxes


class UpstreamRuns:
    """Specs of the runs that give students their initial weights and encoded labels."""

    def __init__(self, config: Config) -> None:
        self.config, self.profile = config, config.profile

    def start(self, name: str, model: StudentSpec | TeacherSpec, input_spec: InputSpec) -> RunSpec | None:
        """The run that gives a row's student its initial weights, if any."""
        if isinstance(model, TeacherSpec):
            return None
        if model.start == "detector":
            return self._detector(name, replace(model, start="pretrained"), input_spec)
        return self._backbone(name, model) if model.start == "pretrained" else None

    def _detector(self, name: str, model: StudentSpec, input_spec: InputSpec) -> RunSpec:
        """The same network trained without a teacher, from a backbone or from a shallower detector."""
        config = self._need(name, ("detector",))
        if config.grows_from and config.grows_from < model.depth:
            schedule = self._need(name, ("schedules", "grown"), "set detector.grows_from to null")
            start = self._detector(name, replace(model, depth=config.grows_from), input_spec)
            model = replace(model, start="detector")
        else:
            start = self._backbone(name, model)
            schedule = self._need(name, ("schedules", "detector"))
        changes = {key: value for key, value in vars(config.input).items() if value is not None}
        changes["depth_points"] = "lidar"  # a detector has no teacher whose virtual points it could load
        return replace(
            self._run("detector", self.profile.grid, replace(input_spec, **changes), model, schedule),
            pretraining=start,
            cell_class_weight=config.cell_class_weight,
        )

    def _backbone(self, name: str, model: StudentSpec) -> RunSpec:
        self._need(name, ("data", "pretrain_split"))
        crops = self._need(name, ("crops",))
        schedule = self._need(name, ("schedules", "pretrain"))
        # crops use neither grid nor input: with the defaults, a changed profile pre-trains nothing again
        classifier = ClassifierSpec(model.depth, model.width, crops)
        return self._run("pretrain", GridSpec(), InputSpec(), classifier, schedule)

    def label_encoder(self, teacher: RunSpec, model: LabelEncoderSpec) -> RunSpec:
        """The run that encodes ground-truth boxes as a teacher's features, augmented like the students'."""
        augmentation = {key: value for key, value in asdict(self.profile.input).items() if key in BEV_FIELDS}
        schedule = self.profile.schedules.labels
        return replace(
            self._run("labels", teacher.grid, InputSpec(**augmentation), model, schedule), teacher=teacher
        )

    def _need(self, name: str, place: tuple[str, ...], instead: str = "choose another model.start") -> Any:
        """The profile's value at a place, refused if it is null."""
        value: Any = self.profile
        for key in place:
            value = getattr(value, key)
        if value is None:
            what = f"row '{name}' starts from a pre-training and '{'.'.join(place)}' is null"
            where = self.config.profile_document.where(place)
            raise UserError(what, where=where, hint=f"fill it in, or {instead}")
        return value

    def _run(
        self, kind: Any, grid: GridSpec, input_spec: InputSpec, model: Any, schedule: ScheduleSpec
    ) -> RunSpec:
        return RunSpec(
            kind=kind,
            seed=self.config.settings.teacher_seed,
            data=self.profile.data,
            grid=grid,
            input=input_spec,
            model=model,
            schedule=schedule,
            threads=self.profile.threads,
            versions=identity.of_training(self.profile.data),
        )
