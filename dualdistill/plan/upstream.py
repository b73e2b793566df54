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

    def start(self, name: str, model: StudentSpec | TeacherSpec, seed: int) -> RunSpec | None:
        """The run that gives a row's student its initial weights, if any."""
        if isinstance(model, TeacherSpec) or model.start != "pretrained":
            return None
        return self._backbone(name, model, seed)

    def _backbone(self, name: str, model: StudentSpec, seed: int) -> RunSpec:
        self._need(name, ("data", "pretrain_split"))
        crops = self._need(name, ("crops",))
        schedule = self._need(name, ("schedules", "pretrain"))
        # crops use neither grid nor input: with the defaults, a changed profile pre-trains nothing again
        classifier = ClassifierSpec(model.depth, model.width, crops)
        return self._run("pretrain", seed, GridSpec(), InputSpec(), classifier, schedule)

    def label_encoder(self, teacher: RunSpec, model: LabelEncoderSpec, seed: int) -> RunSpec:
        """The run that encodes ground-truth boxes as a teacher's features, augmented like the students'."""
        augmentation = {key: value for key, value in asdict(self.profile.input).items() if key in BEV_FIELDS}
        schedule = self.profile.schedules.labels
        run = self._run("labels", seed, teacher.grid, InputSpec(**augmentation), model, schedule)
        return replace(run, teacher=teacher)

    def _need(self, name: str, place: tuple[str, ...]) -> Any:
        """The profile's value at a place, refused if it is null."""
        value: Any = self.profile
        for key in place:
            value = getattr(value, key)
        if value is None:
            what = f"row '{name}' starts from a pre-training and '{'.'.join(place)}' is null"
            where = self.config.profile_document.where(place)
            raise UserError(what, where=where, hint="fill it in, or choose another model.start")
        return value

    def _run(
        self, kind: Any, seed: int, grid: GridSpec, input_spec: InputSpec, model: Any, schedule: ScheduleSpec
    ) -> RunSpec:
        return RunSpec(
            kind=kind,
            seed=seed,
            data=self.profile.data,
            grid=grid,
            input=input_spec,
            model=model,
            schedule=schedule,
            threads=self.profile.threads,
            versions=identity.of_training(self.profile.data),
        )
