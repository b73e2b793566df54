"""Labels of runs from the plan alone: title, facets, baseline and order."""

from pathlib import Path

import pytest
from hand_runs import configured

from dualdistill.plan.plan import Plan
from dualdistill.report.html.run_labels import RunLabels, of_shown_runs

SEEDS = [0, 1]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return configured(tmp_path_factory.mktemp("known"), SEEDS)


@pytest.fixture(scope="module")
def known(plan: Plan) -> dict[str, RunLabels]:
    return of_shown_runs(plan)


def run(plan: Plan, row: str, seed: int = 1) -> str:
    return next(name for name, run in plan.runs.items() if row in run.rows and run.spec.seed == seed)


def called(known: dict[str, RunLabels], label: str) -> RunLabels:
    return next(labels for name, labels in known.items() if name.startswith(f"{label}-s"))


def test_every_shown_run_has_labels(plan: Plan, known: dict[str, RunLabels]):
    assert set(known) == set(plan.shown_runs())


@pytest.mark.parametrize(
    ("row", "facets"),
    [
        ("mfd-only", {"backbone": "ResNet-50", "teacher": "MVP", "method": "DualDistill"}),
        ("temperature-0.5", {"backbone": "ResNet-50", "teacher": "MVP", "method": "DualDistill"}),
        ("taught-by-noise-0.2", {"backbone": "ResNet-50", "teacher": "CenterPoint", "method": "DualDistill"}),
        ("bevdepth-r101", {"backbone": "ResNet-101", "method": "BEVDepth"}),
        ("mvp", {"method": "MVP"}),
    ],
)
def test_a_run_has_the_facets_of_its_row(
    plan: Plan, known: dict[str, RunLabels], row: str, facets: dict[str, str]
):
    assert known[run(plan, row)].facets == facets


def test_a_run_without_a_row_has_the_facets_of_the_runs_that_need_it(known: dict[str, RunLabels]):
    assert called(known, "pretrain-r101").facets == {"backbone": "ResNet-101"}
    assert called(known, "pretrain-r50").facets == {"backbone": "ResNet-50"}
    assert called(known, "labels-centerpoint").facets == {"teacher": "CenterPoint", "method": "LabelDistill"}


def test_titles_tell_runs_apart(plan: Plan, known: dict[str, RunLabels]):
    titles = [labels.title for labels in known.values()]
    assert len(titles) == len(set(titles))
    unseen = ("released-", "budget-")  # not imported, or made on request
    rows = [row for row in plan.named if not row.startswith(unseen)]
    words = {row: known[run(plan, row, 0)].title.replace("\N{NO-BREAK SPACE}", " ") for row in rows}
    assert words["dualdistill-r50-mvp"] == "DualDistill \N{MIDDLE DOT} ResNet-50 \N{MIDDLE DOT} MVP, seed 0"
    assert words["mfd-only"] == "DualDistill \N{MIDDLE DOT} ResNet-50 \N{MIDDLE DOT} MVP (mfd-only), seed 0"
    assert words["x3kd-r50-no-xis"].endswith("CenterPoint (x3kd-r50-no-xis), seed 0")
    assert words["every-ring-4"] == "CenterPoint (every-ring-4), seed 0"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("row", "baseline"),
    [
        ("dualdistill-r50-mvp", "bevdepth-r50"),
        ("dualdistill-r101-mvp", "bevdepth-r101"),
        ("mfd-only", "bevdepth-r50"),
        ("orthogonal-only", "dualdistill-r50-mvp"),  # no table compares it with a student without a method
    ],
)
def test_a_method_is_compared_with_its_student(
    plan: Plan, known: dict[str, RunLabels], row: str, baseline: str, seed: int
):
    assert known[run(plan, row, seed)].baseline == run(plan, baseline, seed)


@pytest.mark.parametrize("row", ["bevdepth-r50", "bevdepth-r101", "centerpoint"])
def test_a_run_without_a_method_has_no_baseline(plan: Plan, known: dict[str, RunLabels], row: str):
    assert known[run(plan, row)].baseline is None


def test_the_student_is_the_baseline_whichever_table_comes_first(tmp_path: Path):
    first = "table_first: {title: First, columns: [row], rows: [{row: gt-labels}, {row: dualdistill-r50-mvp, "
    edit = {"\ntables:\n": f"\ntables:\n  {first}baseline: gt-labels}}]}}\n"}
    plan = configured(tmp_path, SEEDS, {"tables.yaml": edit})
    assert next(iter(plan.tables)) == "table_first"
    labels = of_shown_runs(plan)[run(plan, "dualdistill-r50-mvp")]
    assert labels.baseline == run(plan, "bevdepth-r50")


def test_runs_come_in_the_order_of_their_rows(plan: Plan, known: dict[str, RunLabels]):
    students = [plan.runs[name] for name in known if plan.runs[name].spec.kind == "student"]
    places = list(plan.named)
    order = [(min(map(places.index, student.rows)), student.spec.seed) for student in students]
    assert order == sorted(order)
    assert len(order) > 50
