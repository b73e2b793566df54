"""The runs that a student needs and that no row names: what it starts from, and a label encoder."""

from __future__ import annotations

from dataclasses import asdict, replace

from dualdistill.config.building import build
from dualdistill.config.run_spec import (
    BEV_FIELDS,
    ClassifierSpec,
    CropSpec,
    DataSpec,
    DetectorSpec,
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


class Stages:
    """What students start from, per backbone, and a label encoder per teacher: for all rows and seeds."""

    def __init__(self, config: Config, data: DataSpec) -> None:
        self.config, self.data, self.profile = config, data, config.profile.value

    def start(self, name: str, model: StudentSpec | TeacherSpec, seen: InputSpec) -> RunSpec | None:
        """The run whose weights the row's student starts from."""
        if isinstance(model, TeacherSpec):
            return None
        if model.start == "detector":
            return self._detector(name, replace(model, start="pretrained"), seen)
        return self._backbone(name, model) if model.start == "pretrained" else None

    def _detector(self, name: str, model: StudentSpec, seen: InputSpec) -> RunSpec:
        """The student without a teacher, on the same places, from a backbone or from a shallower detector."""
        self._need(name, ("detector",))
        own = self.profile["detector"]
        if own["grows_from"] and own["grows_from"] < model.depth:
            schedule, before = "grown", self._detector(name, replace(model, depth=own["grows_from"]), seen)
            self._need(name, ("schedules", schedule), "set detector.grows_from to null")
            model = replace(model, start="shallower")
        else:
            schedule, before = "detector", self._backbone(name, model)
            self._need(name, ("schedules", schedule))
        taught = DetectorSpec(**vars(model), naming_weight=own["naming_weight"])
        seen = build(InputSpec, asdict(seen) | own["input"])
        grid = build(GridSpec, self.profile["grid"])
        return self._run("detector", grid, seen, taught, pretraining=before, schedule=schedule)

    def _backbone(self, name: str, model: StudentSpec) -> RunSpec:
        for place in (("data", "pretrain_split"), ("crops",), ("schedules", "pretrain")):
            self._need(name, place)
        # crops know neither grid nor frames: both keep the spec's own values, as a teacher's camera fields do
        return self._run(
            "pretrain",
            GridSpec(),
            InputSpec(),
            ClassifierSpec(model.depth, model.width, build(CropSpec, self.profile["crops"])),
        )

    def label_encoder(self, teacher: RunSpec) -> RunSpec:
        """The run that learns to say boxes in a teacher's terms; it sees the boxes as students do."""
        seen = {key: value for key, value in self.profile["input"].items() if key in BEV_FIELDS}
        return self._run(
            "labels",
            teacher.grid,
            build(InputSpec, seen),
            build(LabelEncoderSpec, self.profile["label_encoder"]),
            teacher,
        )

    def _need(self, name: str, place: tuple[str, ...], instead: str = "choose another model.start") -> None:
        value = self.profile
        for key in place:
            value = value[key]
        if value is None:
            what = f"row '{name}' starts from a pre-training and '{'.'.join(place)}' is null"
            where = self.config.profile.where(place)
            raise UserError(what, where=where, hint=f"fill it in, or {instead}")

    def _run(
        self,
        kind: str,
        grid: GridSpec,
        seen: InputSpec,
        model: ClassifierSpec | LabelEncoderSpec | StudentSpec,
        teacher: RunSpec | None = None,
        pretraining: RunSpec | None = None,
        schedule: str = "",
    ) -> RunSpec:
        return RunSpec(
            kind=kind,
            seed=self.config.settings.teacher_seed,
            data=self.data,
            grid=grid,
            input=seen,
            model=model,
            schedule=build(ScheduleSpec, self.profile["schedules"][schedule or kind]),
            threads=self.profile["threads"],
            versions=identity.of_training(self.data),
            teacher=teacher,
            pretraining=pretraining,
        )
