"""Faults found by pydantic become sentences with a line, and with a hint if a known word is close."""

from dataclasses import field
from typing import Annotated, Literal

import pytest
from pydantic import Field
from pydantic.dataclasses import dataclass

from dualdistill.config import yaml
from dualdistill.config.ranges import STRICT, Interval, Name, Positive, Several
from dualdistill.config.row_keys import block
from dualdistill.config.validation import build, check, keys
from dualdistill.errors import UserError


@dataclass(frozen=True, config=STRICT)
class Average:
    decay: Annotated[float, Field(le=1)] = 0.0


@dataclass(frozen=True, config=STRICT)
class Schedule:
    lr: Positive
    loss: Literal["bevdet", "megvii"] = "bevdet"
    steps: tuple[int, ...] = ()
    ema: Average | None = None
    name: str = ""
    range: Interval = (0.0, 1.0)
    seeds: Several[int] = (0,)
    parts: dict[Name, Average] = field(default_factory=dict)
    batch: Annotated[int, Field(multiple_of=4)] = 4
    cbgs: bool = True


TEXT = "(YAML reads 1e-3 as text, write 0.001)"
MEGVII = "not the text 'mevii' (did you mean 'megvii'?)"


def refusal(text: str, kind: type = Schedule) -> str:
    with pytest.raises(UserError) as caught:
        check(yaml.parse(text, "a.yaml"), kind)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("lr: 1e-3", "a.yaml:1: 'lr' must be a number, not the text '1e-3' " + TEXT),
        ("lr: true", "a.yaml:1: 'lr' must be a number, not true"),
        ("lr: 0", "a.yaml:1: 'lr' must be above 0, not 0"),
        ("steps: []", "a.yaml:1: missing key 'lr'"),
        ("lr: 1\nlos: bevdet", "a.yaml:2: unknown key 'los' (did you mean 'loss'?)"),
        ("lr: 1\nloss: mevii", "a.yaml:2: 'loss' must be one of bevdet, megvii, " + MEGVII),
        ("lr: 1\nsteps:\n- 1\n- a", "a.yaml:4: entry 2 in 'steps' must be a whole number, not the text 'a'"),
        ("lr: 1\nrange: [1, 2, 3]", "a.yaml:2: 'range' takes at most 2 entries"),
        ("lr: 1\nrange: [2, 1]", "a.yaml:2: 'range' runs from the larger number to the smaller"),
        ("lr: 1\nrange: [1]", "a.yaml:2: 'range' needs at least 2 entries"),
        ("lr: 1\nema: {decay: 2}", "a.yaml:2: 'decay' in 'ema' must be at most 1, not 2"),
        ("lr: 1\nema: 2", "a.yaml:2: 'ema' must be a block of keys, not 2"),
        ("lr: 1\nname: 5", "a.yaml:2: 'name' must be text, not 5"),
        ("lr: {}\nloss: 3", "a.yaml:1: 'lr' must be a number, not a block of keys"),
        ("lr: 1\nseeds: []", "a.yaml:2: 'seeds' must not be empty"),
        ("lr: 1\nseeds: [1, 1]", "a.yaml:2: 'seeds' holds the same entry twice"),
        ("lr: 1\nbatch: 6", "a.yaml:2: 'batch' must be a multiple of 4, not 6"),
        ("lr: 1\nbatch: 4.5", "a.yaml:2: 'batch' must be a whole number, not 4.5"),
        ("lr: 1\ncbgs: 1", "a.yaml:2: 'cbgs' must be true or false, not 1"),
        ("lr: 1\nsteps: 3", "a.yaml:2: 'steps' must be a list, not 3"),
        ("lr: 1\nparts:\n  Big: {}", "a.yaml:3: unknown key 'Big' in 'parts'"),
        (
            "lr: 1\nparts:\n  a: {decai: 1}",
            "a.yaml:3: unknown key 'decai' in 'parts.a' (did you mean 'decay'?)",
        ),
        ("- 1", "a.yaml:1: the file must be a block of keys, not a list"),
    ],
)
def test_a_fault_gives_one_sentence_with_its_line(text: str, sentence: str):
    assert refusal(text) == sentence


def test_the_first_faulty_line_is_reported():
    assert refusal("lr: 1\nname: 5\nsteps: 3").startswith("a.yaml:2:")


def test_dotted_keys_are_checked_by_their_full_names():
    shape = block({"schedule.lr": Positive, "from": str})
    assert refusal("schedule.lr: 0", shape) == "a.yaml:1: 'schedule.lr' must be above 0, not 0"
    assert (
        refusal("schedule.l: 1", shape) == "a.yaml:1: unknown key 'schedule.l' (did you mean 'schedule.lr'?)"
    )
    assert refusal("field_0: 1", shape).startswith("a.yaml:1: unknown key 'field_0'")
    assert list(keys(shape)) == ["schedule.lr", "from"]


def test_lists_become_tuples_and_whole_numbers_become_floats():
    schedule = build(Schedule, {"lr": 1, "range": [0, 2], "steps": [3]})
    assert (schedule.range, schedule.steps, type(schedule.lr)) == ((0.0, 2.0), (3,), float)
