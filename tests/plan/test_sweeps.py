"""A list where one value belongs is a row for each of them."""

from pathlib import Path

import pytest

from dualdistill.config import yaml
from dualdistill.errors import UserError
from dualdistill.plan import plan, sweeps
from dualdistill.plan.plan import Plan

FULL = "dualdistill-r50-centerpoint"


def planned(folder: Path, text: str) -> Plan:
    with (folder / "variants.yaml").open("a") as stream:
        stream.write(text + "\n")
    return plan.load(folder / "config.yaml")


def rows(text: str) -> dict:
    return sweeps.expand(yaml.parse(text, "variants.yaml")).value


def test_one_line_is_a_row_for_each_value(folder: Path):
    found = planned(folder, f"t: {{from: {FULL}, temperature: [2.0, 1.0, 0.1, 0.05]}}")
    temperatures = [found.run(f"t-{value}").spec.distill.options["temperature"] for value in ("2.0", "0.05")]
    assert temperatures == [2.0, 0.05]
    # a value that is the default anyway makes no run of its own
    assert found.run("t-0.1") is found.run(FULL)
    with pytest.raises(UserError, match="no run or row is named 't'"):
        found.run("t")


def test_several_lists_are_every_combination():
    found = rows("t: {from: x, alignment: [aoa, upsample_conv3], crd: [true, false], fp_weight: [1]}")
    names = ["t-aoa-true-1", "t-aoa-false-1", "t-upsample_conv3-true-1", "t-upsample_conv3-false-1"]
    assert list(found) == names
    assert found[names[-1]] == {"from": "x", "alignment": "upsample_conv3", "crd": False, "fp_weight": 1}


def test_a_key_that_takes_a_list_is_swept_by_a_list_of_lists():
    text = "t: {input.history_train_s: [0.5, 1.0]}\nu: {input.history_train_s: [[0.5, 0.5], [0.5, 1.0]]}"
    found = rows(text)
    assert list(found) == ["t", "u-0.5-0.5", "u-0.5-1.0"]
    assert found["t"]["input.history_train_s"] == [0.5, 1.0]
    assert found["u-0.5-1.0"]["input.history_train_s"] == [0.5, 1.0]


def test_teachers_can_be_swept_and_so_can_their_students(folder: Path):
    teachers = "dim: {from: centerpoint, input.every_ring: [2, 16]}"
    found = planned(folder, f"{teachers}\ns: {{from: {FULL}, teacher: [dim-2, dim-16]}}")
    assert found.run("s-dim-16").teacher == found.run("dim-16").id
    # as in the rows of config/, which is one run with it
    assert found.run("s-dim-2").spec.teacher.input.every_ring == 2


def test_a_row_of_a_sweep_can_be_started_from(folder: Path):
    found = planned(folder, f"t: {{from: {FULL}, temperature: [2.0]}}\nx: {{from: t-2.0, crd_weight: 0.5}}")
    options = found.run("x").spec.distill.options
    assert (options["temperature"], options["crd_weight"]) == (2.0, 0.5)


def test_a_fault_in_a_swept_row_stands_on_its_line():
    written = yaml.parse("a: {from: b}\nt:\n  from: b\n  temperature: [1, 2]\n", "variants.yaml")
    found = sweeps.expand(written)
    assert found.where(("t-2", "temperature")) == "variants.yaml:4"
    assert found.where(("t-1",)) == "variants.yaml:2"
