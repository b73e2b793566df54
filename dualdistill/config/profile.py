"""Profiles (config/profiles/*.yaml): the data set, network sizes and schedules of all runs.

A profile lists what differs from the published values, which are the defaults of the specs, or from another
profile, which it names in `from`. Inside it, a schedule lists what differs from `schedules.base`, and the
teacher mvp what differs from centerpoint.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import Any

from pydantic.dataclasses import dataclass

from dualdistill.config import row_keys
from dualdistill.config.inheritance import fill, with_parents
from dualdistill.config.ranges import STRICT, Count, Degrees, Interval, NotNegative, TeacherSeed
from dualdistill.config.run_spec import (
    CropSpec,
    DataSpec,
    GridSpec,
    InputSpec,
    LabelEncoderSpec,
    MVPSpec,
    RingStep,
    ScheduleSpec,
    StudentSpec,
    TeacherSpec,
)
from dualdistill.config.students import students
from dualdistill.config.validation import check
from dualdistill.config.yaml import Document, nearest
from dualdistill.errors import UserError


@dataclass(frozen=True, config=STRICT)
class TeacherInputChanges:
    """Changes to the students' input for training the teachers; null changes nothing."""

    bev_rotate_deg: Degrees | None = None
    bev_scale: Interval | None = None
    bev_flip: bool | None = None
    paste: bool | None = None
    every_ring: RingStep | None = None
    range_noise_m: NotNegative | None = None


@dataclass(frozen=True, config=STRICT)
class Teachers:
    centerpoint: TeacherSpec = field(default_factory=TeacherSpec)
    mvp: MVPSpec = field(default_factory=MVPSpec)


@dataclass(frozen=True, config=STRICT)
class Schedules:
    """A schedule for every kind of run; null where the profile has no such runs."""

    student: ScheduleSpec
    teacher: ScheduleSpec
    labels: ScheduleSpec  # of the label encoders
    pretrain: ScheduleSpec | None = None  # of the backbones


@dataclass(frozen=True, config=STRICT)
class Profile:
    data: DataSpec
    schedules: Schedules
    backbones: dict[str, dict[str, Any]]  # name -> changes to model.*, input.* or schedule.*
    students: dict[str, Any]  # StudentSpec by network
    teachers: Teachers = field(default_factory=Teachers)
    teacher_seed: TeacherSeed = 0  # of config.yaml, where that leaves it to the profile
    threads: Count = 1  # CPU threads per training; part of the spec, because it changes the last bits
    cache: bool = False  # decode all images and points once, before the first training
    grid: GridSpec = field(default_factory=GridSpec)
    input: InputSpec = field(default_factory=InputSpec)
    teacher_input: TeacherInputChanges = field(default_factory=TeacherInputChanges)
    label_encoder: LabelEncoderSpec = field(default_factory=LabelEncoderSpec)
    crops: CropSpec | None = None  # for pre-training backbones; null without pre-training
    # method -> changes to its options, where they depend on the sizes; a key of a row wins
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)


def load(written: Document) -> tuple[Profile, Document]:
    """The profile, and its document with all inherited values filled in."""
    document = _inherit_schedules(with_parents(written, "profile"))
    document = fill(document, ("teachers", "mvp"), ("teachers", "centerpoint"))
    profile = check(document, Profile)
    presets: dict[str, StudentSpec] = {}
    known = students()
    for name in profile.students:
        if name not in known:
            where = document.where(("students", name))
            raise UserError(f"unknown student '{name}'", where=where, hint=nearest(name, known))
        presets[name] = check(document, known[name], at=("students", name))
    if profile.methods:
        check(document, row_keys.of_methods(), at=("methods",))
    _check(profile, document)
    _refuse_idle_epochs(profile, written)
    return replace(profile, students=presets), document


def _check(profile: Profile, document: Document) -> None:
    """Check the constraints that ranges of single numbers cannot express."""
    grid, world = profile.grid, profile.data.world
    if abs(grid.cells * grid.cell_m - 2 * grid.half_extent_m) > 1e-9 or grid.cells % 8:
        size = f"{2 * grid.half_extent_m} m in cells of {grid.cell_m} m"
        what = f"a grid of {size} is not a multiple of 8 cells"
        raise UserError(what, where=document.where(("grid",)))
    for kind, schedule in vars(profile.schedules).items():
        if schedule and schedule.fault:
            raise UserError(schedule.fault, where=document.where(("schedules", kind)))
    for name in ("train_scenes", "dev_scenes", "val_scenes", "density"):
        # an empty split or an empty scene is useful in tests only; nuScenes has no dev split
        if world and getattr(world, name) == 0 and not (name == "dev_scenes" and world.official_names):
            what = f"'{name}' in 'data.world' must be above 0"
            raise UserError(what, where=document.where(("data", "world", name)))


def _refuse_idle_epochs(profile: Profile, written: Document) -> None:
    """Refuse epochs that the file itself gives to a schedule whose steps decide."""
    for kind, schedule in vars(profile.schedules).items():
        epochs = ("schedules", kind, "epochs")
        if schedule and schedule.total_steps and epochs in written.lines:
            what = f"'epochs' in 'schedules.{kind}' has no effect, because total_steps decides"
            raise UserError(what, where=written.where(epochs), hint="add total_steps: null")


def _inherit_schedules(document: Document) -> Document:
    """Fill every schedule with the keys of `base` that it leaves out, and drop `base`."""
    schedules = document.value.get("schedules") if isinstance(document.value, dict) else None
    if not isinstance(schedules, dict) or "base" not in schedules:
        return document
    for kind, schedule in schedules.items():
        if kind != "base" and schedule is not None:
            document = fill(document, ("schedules", kind), ("schedules", "base"))
    kept = {kind: schedule for kind, schedule in document.value["schedules"].items() if kind != "base"}
    return replace(document, value={**document.value, "schedules": kept})
