"""The forest plot shows the effects of the claims, and no two parts of it overlap."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from report_runs import check_readable

from dualdistill.plan import figures
from dualdistill.plan.figures import FigureView
from dualdistill.plan.plan import Plan
from dualdistill.report.claims import table as claims
from dualdistill.report.claims.table import EFFECT
from dualdistill.report.figures import draw
from dualdistill.report.numbers import Score
from dualdistill.report.table import Measured, Reported, Row, Table

CONFIG = Path(__file__).parents[3] / "config"


def effect(value: str, n: int, **intervals: tuple[str, str]) -> dict[str, Measured]:
    """The cells of an effect, with intervals by what they cover."""
    score = Score(Decimal(value), None, n)
    cells = {"effect": Measured(EFFECT, score)}
    for name, (low, high) in intervals.items():
        cells[COVERS[name]] = Measured(EFFECT, score, interval=(Decimal(low), Decimal(high)))
    return cells


COVERS = {"students": claims.STUDENTS, "both": claims.BOTH, "frames": claims.FRAMES}


def row(claim: str, endpoint: str, verdict: str, *, found: str = "", **cells: dict) -> Row:
    says = {"a": "One is better", "b": "Two is better"}[claim]
    labels = {"claim": claim, "says": says, "endpoint": endpoint, "verdict": verdict, "smallest_found": found}
    return Row(labels, **cells)


FIRST = row(
    "a",
    "mean",
    "supported",
    measured=effect("0.0125", 5, students=("0.006", "0.019"), both=("0.003", "0.022")),
    reported={"effect": Reported(Decimal("5.4"), damaged=True)},
)
SECOND = row(
    "a",
    "every pair",
    "undecided",
    measured=effect("-0.005", 1, frames=("-0.02", "0.01")),
    reported={"effect": Reported(Decimal("4.4"))},
)
THIRD = row("b", "mean", "undecided")


@pytest.fixture(autouse=True)
def styled() -> Iterator[None]:
    with draw.styled(CONFIG / figures.STYLE):
        yield


@pytest.fixture
def view(plan: Plan) -> FigureView:
    return figures.load(plan, plan.results.parent / "config")["claims"]


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch):
    """Let the claims have these rows."""

    def judged(*rows: Row) -> None:
        table = Table("claims", "Claims", (), rows)
        monkeypatch.setattr(claims, "tables", lambda plan, allow_missing: (table, table))

    judged(FIRST, SECOND, THIRD)
    return judged


def lines(axes: Axes, *, marked: bool) -> list[list[float]]:
    return [list(line.get_xdata()) for line in axes.lines if (line.get_marker() != "None") == marked]


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_effects_and_intervals_stand_at_their_values(plan: Plan, view: FigureView, judged):
    figure = draw.draw(plan, view)
    measured, reported = figure.axes
    assert lines(measured, marked=True) == [[1.25], [-0.5]]
    # the last is the line at zero
    assert lines(measured, marked=False) == [[0.3, 2.2], [0.6, 1.9], [-2, 1], [0, 0]]
    thin, thick, dotted = [line for line in measured.lines if line.get_marker() == "None"][:3]
    assert thick.get_linewidth() > thin.get_linewidth()
    assert dotted.get_linestyle() == ":"
    assert texts(measured) == ["n = 5, supported", "n = 1, undecided", "not measured"]
    assert lines(reported, marked=True) == [[5.4], [4.4]]
    assert reported.get_xlabel() == "reported on\nnuScenes"
    names = [" ".join(label.get_text().split()) for label in measured.get_yticklabels()]
    assert names == ["One is better", "Two is better"]
    check_readable(figure)


def test_the_margin_is_a_band_and_an_undecided_claim_names_what_it_would_have_found(
    plan: Plan, view: FigureView, judged
):
    judged(row("a", "mean", "undecided", found="2.3", measured=effect("0.01", 5, both=("-0.01", "0.03"))))
    figure = draw.draw(plan, view)
    (band,) = figure.axes[0].patches
    assert (band.get_x(), band.get_x() + band.get_width()) == (-2, 2)
    assert texts(figure.axes[0]) == ["n = 5, undecided (2.3)"]
    assert "the smallest effect that an undecided claim would have found" in " ".join(
        figure.get_supxlabel().split()
    )


def test_the_effects_are_those_of_the_claims_table(plan: Plan, view: FigureView):
    table, _ = claims.tables(plan)
    drawn = lines(draw.draw(plan, view).axes[0], marked=True)
    values = [float(row.measured["effect"].value) for row in table.rows]
    assert [x for [x] in drawn if x in values] == values


def test_a_claim_without_a_run_is_not_measured(plan: Plan, view: FigureView):
    for run in plan.runs.values():
        (plan.scores(run) / "metrics.json").unlink(missing_ok=True)
    assert set(texts(draw.draw(plan, view).axes[0])) == {"not measured"}


def test_a_damaged_print_has_its_mark_and_its_sentence(plan: Plan, view: FigureView, judged):
    figure = draw.draw(plan, view)
    (mark,) = figure.axes[1].texts
    assert (mark.get_text(), mark.xy[0]) == ("‡", 5.4)
    assert "\n‡ Rests on a damaged print" in figure.get_supxlabel()
    judged(replace(FIRST, reported={"effect": Reported(Decimal("5.4"))}), SECOND)
    figure = draw.draw(plan, view)
    assert not figure.axes[1].texts
    assert "‡" not in figure.get_supxlabel()


def test_a_verdict_stands_beside_the_panel_however_wide_an_interval_is(plan: Plan, view: FigureView, judged):
    judged(replace(FIRST, measured=effect("0.0125", 5, both=("-0.4", "0.4"))), SECOND, THIRD)
    figure = draw.draw(plan, view)
    figure.draw_without_rendering()
    measured, reported = figure.axes
    # three times the largest effect, and arrows where the interval goes on
    assert [-3.75, 3.75] in lines(measured, marked=False)
    arrows = [
        (line.get_marker(), line.get_xdata()[0]) for line in measured.lines if line.get_marker() in "<>"
    ]
    assert arrows == [("<", -3.75), (">", 3.75)]
    for words in measured.texts:
        box = words.get_window_extent()
        assert measured.bbox.x1 < box.x0 < box.x1 < reported.bbox.x0
