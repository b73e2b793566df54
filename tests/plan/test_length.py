"""The length of a training: by epochs or steps, and times a factor, in every profile and recipe."""

from pathlib import Path
from typing import Any

import pytest

from dualdistill.errors import UserError
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan

LENGTHS = (800, 1620, 2430, 3645, 5400)


def planned(folder: Path, **overrides: Any) -> Plan:
    return planning.load(folder / "config.yaml", overrides)


@pytest.mark.parametrize("profile", ["smoke", "world", "world-long", "nuscenes"])
@pytest.mark.parametrize("recipe", ["matched", "as_published"])
def test_equal_time_is_the_baseline_with_a_longer_schedule(folder: Path, profile: str, recipe: str):
    plan = planned(folder, profile=profile, recipe=recipe)
    baseline = plan.run("bevdepth-r50").spec.schedule
    for factor in (1.4, 2.1):
        longer = plan.run(f"equal-time-{factor}").spec.schedule
        assert (longer.scale, longer.epochs, longer.warmup_iters) == (
            factor,
            baseline.epochs,
            baseline.warmup_iters,
        )
        assert longer.steps_in_all(1000) == round(factor * baseline.steps_in_all(1000))


@pytest.mark.parametrize("profile", ["smoke", "world", "world-long", "nuscenes"])
@pytest.mark.parametrize("recipe", ["matched", "as_published"])
def test_budgets_are_steps_in_every_profile(folder: Path, profile: str, recipe: str):
    plan = planned(folder, profile=profile, recipe=recipe)
    for row in ("baseline", "dualdistill", "inheritance", "first", "second"):
        schedules = [plan.run(f"budget-{row}-{steps}").spec.schedule for steps in LENGTHS]
        assert [schedule.steps_in_all(135) for schedule in schedules] == list(LENGTHS)


def test_a_length_that_the_profile_has_is_trained_once(folder: Path):
    plan = planned(folder, profile="world-long")
    steps = plan.run("bevdepth-r50").spec.schedule.total_steps
    assert steps in LENGTHS
    assert plan.run(f"budget-baseline-{steps}") is plan.run("bevdepth-r50")


def test_epochs_of_a_recipe_without_effect_are_refused(folder: Path):
    (folder / "recipes" / "mine.yaml").write_text("title: mine\nbevdepth: {schedule.epochs: 3}\n")
    what = r"recipes/mine\.yaml: the recipe sets schedule\.epochs of row 'bevdepth-r50', and"
    with pytest.raises(UserError, match=what):
        planned(folder, profile="world-long", recipe="mine")
    assert planned(folder, profile="world", recipe="mine").run("bevdepth-r50").spec.schedule.epochs == 3


def test_the_methods_of_the_budget_are_exchanged_in_one_line(whole_folder: Path):
    path = whole_folder / "variants.yaml"
    before = "budget-first: {from: distillbev-r50-mvp,"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, "budget-first: {from: tigbev-r50-centerpoint,"))
    rows = planned(whole_folder).tables["table_budget"].rows
    printed = [row.shown for row in rows if row.row.startswith("budget-first-")]
    assert [shown["schedule.total_steps"] for shown in printed] == [str(steps) for steps in LENGTHS]
    assert {(shown["method"], shown["teacher"]) for shown in printed} == {("TiG-BEV", "CenterPoint")}
