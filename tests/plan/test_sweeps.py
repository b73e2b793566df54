"""A list in place of a single value makes a row for each of its values."""

from pathlib import Path

import pytest

from dualdistill.config import yaml
from dualdistill.errors import UserError
from dualdistill.plan import plan as planning
from dualdistill.plan import sweeps
from dualdistill.plan.plan import Plan

FULL = "dualdistill-r50-centerpoint"


def planned(folder: Path, text: str) -> Plan:
    with (folder / "variants.yaml").open("a") as stream:
        stream.write(text + "\n")
    return planning.load(folder / "config.yaml")


def rows(text: str) -> dict:
    return sweeps.expand(yaml.parse(text, "variants.yaml")).value


def test_a_list_makes_a_row_for_each_value(folder: Path):
    plan = planned(folder, f"t: {{from: {FULL}, temperature: [2.0, 1.0, 0.1, 0.05]}}")
    temperatures = [plan.run(f"t-{value}").spec.distill.options["temperature"] for value in ("2.0", "0.05")]
    assert temperatures == [2.0, 0.05]
    # the default value makes no new run
    assert plan.run("t-0.1") is plan.run(FULL)
    with pytest.raises(UserError, match="no run or row is named 't'"):
        plan.run("t")


def test_several_lists_make_every_combination():
    swept = rows("t: {from: x, alignment: [aoa, upsample_conv3], crd: [true, false], fp_weight: [1]}")
    names = ["t-aoa-true-1", "t-aoa-false-1", "t-upsample_conv3-true-1", "t-upsample_conv3-false-1"]
    assert list(swept) == names
    assert swept[names[-1]] == {"from": "x", "alignment": "upsample_conv3", "crd": False, "fp_weight": 1}


def test_a_key_that_takes_a_list_is_swept_by_a_list_of_lists():
    text = "t: {input.history_train_s: [0.5, 1.0]}\nu: {input.history_train_s: [[0.5, 0.5], [0.5, 1.0]]}"
    swept = rows(text)
    assert list(swept) == ["t", "u-0.5-0.5", "u-0.5-1.0"]
    assert swept["t"]["input.history_train_s"] == [0.5, 1.0]
    assert swept["u-0.5-1.0"]["input.history_train_s"] == [0.5, 1.0]


def test_teachers_can_be_swept_and_so_can_their_students(folder: Path):
    teachers = "dim: {from: centerpoint, input.every_ring: [2, 16]}"
    plan = planned(folder, f"{teachers}\ns: {{from: {FULL}, teacher: [dim-2, dim-16]}}")
    assert plan.run("s-dim-16").teacher == plan.run("dim-16").id
    # equal to a row of config/, so both share a run
    assert plan.run("s-dim-2").spec.teacher.input.every_ring == 2


def test_a_row_can_inherit_from_a_row_of_a_sweep(folder: Path):
    plan = planned(folder, f"t: {{from: {FULL}, temperature: [2.0]}}\nx: {{from: t-2.0, crd_weight: 0.5}}")
    options = plan.run("x").spec.distill.options
    assert (options["temperature"], options["crd_weight"]) == (2.0, 0.5)


def test_rows_of_a_sweep_keep_its_line():
    written = yaml.parse("a: {from: b}\nt:\n  from: b\n  temperature: [1, 2]\n", "variants.yaml")
    expanded = sweeps.expand(written)
    assert expanded.where(("t-2", "temperature")) == "variants.yaml:4"
    assert expanded.where(("t-1",)) == "variants.yaml:2"
