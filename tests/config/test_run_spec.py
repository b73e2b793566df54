"""A run's id hashes its whole spec, and adding a field keeps the ids of earlier runs."""

import dataclasses
from typing import Annotated, Any

import pytest
from pydantic import ValidationError
from pydantic.dataclasses import dataclass

from dualdistill.config import run_spec
from dualdistill.config.ranges import STRICT
from dualdistill.config.run_spec import (
    AddedLater,
    BEVDepthSpec,
    DataSpec,
    GridSpec,
    InputSpec,
    MVPSpec,
    RunSpec,
    ScheduleSpec,
    TeacherInputSpec,
    TeacherSpec,
    contents,
)

# Neutral values of fields added after runs existed, by class and field. Never change them:
# they keep the ids of earlier runs.
NEUTRAL: dict[str, Any] = {
    "InputSpec.decode": "exact",
    "TeacherInputSpec.decode": "exact",
    "ScheduleSpec.total_steps": None,
    "ScheduleSpec.scale": 1.0,
}


def spec(**changes: Any) -> RunSpec:
    data = DataSpec("world", "v1.0-world", "train", "dev", "val")
    parts = {"kind": "student", "seed": 0, "data": data, "grid": GridSpec(), "input": InputSpec()}
    rest = {"model": BEVDepthSpec(), "schedule": ScheduleSpec(), "threads": 1, "versions": {"train": 1}}
    return RunSpec(**{**parts, **rest, **changes})


def test_the_hash_covers_defaults():
    listed = contents(spec())
    assert listed["schedule"]["epochs"] == 24.0
    assert set(listed) == {item.name for item in dataclasses.fields(RunSpec)} | {"cell_class_weight"}


def test_a_field_of_earlier_versions_keeps_its_place_in_the_hash():
    assert contents(spec())["cell_class_weight"] == 0.0
    assert spec(kind="pretrain").sha[:10] == "92cdde7f2c"  # of the last version that had the field


@pytest.mark.parametrize(
    "change",
    [
        {"schedule": ScheduleSpec(epochs=23.0)},
        {"model": BEVDepthSpec(extra_norm=False)},
        {"model": TeacherSpec()},
        {"input": TeacherInputSpec(every_ring=2)},
        {"schedule": ScheduleSpec(scale=1.3)},
        {"schedule": ScheduleSpec(total_steps=800)},
        {"teacher": spec()},
    ],
)
def test_every_change_gives_another_id(change: dict[str, Any]):
    assert spec(**change).sha != spec().sha


def test_networks_with_the_same_numbers_have_different_ids():
    @dataclass(frozen=True, config=STRICT)
    class Other(BEVDepthSpec):
        network = "other"

    assert spec(model=Other()).sha != spec(model=BEVDepthSpec()).sha


def test_fields_of_a_subclass_are_hashed():
    assert "virtual" in contents(spec(model=MVPSpec()))["model"]


@dataclass(frozen=True, config=STRICT)
class Before:
    lr: float = 1.0


@dataclass(frozen=True, config=STRICT)
class After:
    lr: float = 1.0
    # the default may differ from the neutral value, which is the behaviour before the field existed
    beta: Annotated[float, AddedLater(0.9)] = 0.95


def test_a_field_added_later_is_left_out_only_at_its_neutral_value():
    assert contents(After(beta=0.9)) == contents(Before())
    assert contents(After()) == {"lr": 1.0, "beta": 0.95}


def test_the_neutral_values_are_pinned():
    marked = {
        f"{kind.__name__}.{name}": mark.neutral
        for kind in vars(run_spec).values()
        if dataclasses.is_dataclass(kind) and hasattr(kind, "__pydantic_fields__")
        for name, field in kind.__pydantic_fields__.items()
        for mark in field.metadata
        if isinstance(mark, AddedLater)
    }
    assert marked == NEUTRAL


@pytest.mark.parametrize("change", [{"seed": "0"}, {"threads": 0}, {"threads": True}, {"kind": "pupil"}])
def test_a_spec_out_of_range_cannot_be_made(change: dict[str, Any]):
    with pytest.raises(ValidationError):
        spec(**change)


@pytest.mark.parametrize(
    ("length", "again"),
    [
        ({"epochs": 1}, False),
        ({"epochs": 1.5}, True),
        ({"epochs": 24, "total_steps": 4}, False),
        ({"epochs": 0, "total_steps": 5}, True),
        ({"epochs": 0.5, "scale": 4.0}, True),
    ],
)
def test_samples_are_seen_again_by_the_length_in_steps(length: dict[str, float], again: bool):
    assert ScheduleSpec(batch=2, **length).repeats(9) is again
