"""Profiles (config/profiles/*.yaml): the data set, network sizes and schedules of all runs.

A profile lists what differs from the published values, which are the defaults of the specs. Inside it, a
schedule lists what differs from `schedules.base`, and the teacher mvp what differs from centerpoint.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import Any, Literal

from pydantic.dataclasses import dataclass

from dualdistill.config import row_keys
from dualdistill.config.ranges import STRICT, Count, Degrees, Interval, NotNegative, Weight
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
from dualdistill.config.yaml import Document, Place, nearest
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
class DetectorInputChanges:
    """Changes to the students' input for training the detectors they start from; null changes nothing."""

    image_flip: bool | None = None
    resize_jitter: Interval | None = None
    bev_rotate_deg: Degrees | None = None
    bev_scale: Interval | None = None
    bev_flip: bool | None = None


@dataclass(frozen=True, config=STRICT)
class DetectorConfig:
    """Differences between the training of a student and that of the detector it starts from."""

    grows_from: Literal[50] | None = None  # depth of the detector that initialises a deeper one
    input: DetectorInputChanges = field(default_factory=DetectorInputChanges)
    cell_class_weight: Weight = 0.0  # of the auxiliary loss, the classification of every image cell


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
    detector: ScheduleSpec | None = None  # of the detectors that students start from
    grown: ScheduleSpec | None = None  # of detectors that grow from a shallower detector


@dataclass(frozen=True, config=STRICT)
class Profile:
    data: DataSpec
    schedules: Schedules
    backbones: dict[str, dict[str, Any]]  # name -> changes to model.*, input.* or schedule.*
    students: dict[str, Any]  # StudentSpec by network
    teachers: Teachers = field(default_factory=Teachers)
    threads: Count = 1  # CPU threads per training; part of the spec, because it changes the last bits
    cache: bool = False  # decode all images and points once, before the first training
    grid: GridSpec = field(default_factory=GridSpec)
    input: InputSpec = field(default_factory=InputSpec)
    teacher_input: TeacherInputChanges = field(default_factory=TeacherInputChanges)
    detector: DetectorConfig | None = None
    label_encoder: LabelEncoderSpec = field(default_factory=LabelEncoderSpec)
    crops: CropSpec | None = None  # for pre-training backbones; null without pre-training
    # method -> changes to its options, where they depend on the sizes; a key of a row wins
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)


def load(written: Document) -> tuple[Profile, Document]:
    """The profile, and its document with all inherited values filled in."""
    document = _inherit(_inherit_schedules(written), ("teachers", "mvp"), ("teachers", "centerpoint"))
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


def _inherit_schedules(document: Document) -> Document:
    """Fill every schedule with the keys of `base` that it leaves out, and drop `base`."""
    schedules = document.value.get("schedules") if isinstance(document.value, dict) else None
    if not isinstance(schedules, dict) or "base" not in schedules:
        return document
    for kind, schedule in schedules.items():
        if kind != "base" and schedule is not None:
            document = _inherit(document, ("schedules", kind), ("schedules", "base"))
    kept = {kind: schedule for kind, schedule in document.value["schedules"].items() if kind != "base"}
    return replace(document, value={**document.value, "schedules": kept})


def _inherit(document: Document, heir: Place, parent: Place) -> Document:
    """Fill the block at `heir` with the keys that it leaves out, taken from the block at `parent`."""
    block, inherited = _at(document.value, heir), _at(document.value, parent)
    if not isinstance(block, dict) or not isinstance(inherited, dict):
        return document
    lines = {
        (*heir, *place[len(parent) :]): line
        for place, line in document.lines.items()
        if place[: len(parent)] == parent
    }
    value = _put(document.value, heir, _merged(inherited, block))
    return replace(document, value=value, lines=lines | document.lines)


def _merged(inherited: dict[str, Any], block: dict[str, Any]) -> dict[str, Any]:
    merged = dict(inherited)
    for key, value in block.items():
        before = inherited.get(key)
        merged[key] = (
            _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
        )
    return merged


def _at(value: Any, place: Place) -> Any:
    for key in place:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _put(value: dict[str, Any], place: Place, block: Any) -> dict[str, Any]:
    first, *rest = map(str, place)
    return {**value, first: _put(value[first], tuple(rest), block) if rest else block}
