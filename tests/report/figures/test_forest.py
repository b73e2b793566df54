"""The forest plot shows what stands in claims.csv, and nothing in it falls on anything."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.axes import Axes
from report_runs import check_readable

from dualdistill.errors import UserError
from dualdistill.plan import figures
from dualdistill.plan.figures import View
from dualdistill.plan.plan import Plan
from dualdistill.report.figures import draw

CONFIG = Path(__file__).parents[3] / "config"
CLAIMS = """claim,says,metric,pairs,effect,low,high,n_seeds,reported_effect,damaged,verdict
a,One is better,mAP,1,1.25,0.3,2.2,5,5.4,mAP,supported
a,One is better,NDS,1,-0.5,,,1,4.4,,undecided
b,Two is better,mAP,3,,,,0,,,undecided
"""


@pytest.fixture(autouse=True)
def styled() -> Iterator[None]:
    with draw.styled(CONFIG / figures.STYLE):
        yield


@pytest.fixture
def view(plan: Plan) -> View:
    (plan.results / "claims.csv").write_text(CLAIMS)
    return figures.load(plan, plan.results.parent / "config")["claims"]


def lines(axes: Axes, *, marked: bool) -> list[list[float]]:
    return [list(one.get_xdata()) for one in axes.lines if (one.get_marker() != "None") == marked]


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_claims_are_drawn_where_they_stand(plan: Plan, view: View):
    figure = draw.draw(plan, view)
    measured, reported = figure.axes
    assert lines(measured, marked=True) == [[1.25], [-0.5]]
    assert lines(measured, marked=False) == [[0.3, 2.2], [0, 0]]  # the second is the line at zero
    assert texts(measured) == ["n = 5, supported", "n = 1, undecided", "not measured"]
    assert lines(reported, marked=True) == [[5.4], [4.4]]
    assert reported.get_xlabel() == "reported on nuScenes"
    says = [" ".join(label.get_text().split()) for label in measured.get_yticklabels()]
    assert says == ["One is better", "Two is better (weakest of 3 pairs)"]
    check_readable(figure)


def test_a_claim_without_a_column_is_a_sentence(plan: Plan, view: View):
    path = plan.results / "claims.csv"
    pd.read_csv(path).drop(columns="low").to_csv(path, index=False)
    with pytest.raises(UserError, match=r"claims.csv: the claims have no column 'low' \(delete the file"):
        draw.draw(plan, view)


def test_a_damaged_print_has_its_mark_and_its_sentence(plan: Plan, view: View):
    figure = draw.draw(plan, view)
    (mark,) = figure.axes[1].texts
    assert (mark.get_text(), mark.xy[0]) == ("‡", 5.4)
    assert "\n‡ Rests on a damaged print" in figure.get_supxlabel()
    (plan.results / "claims.csv").write_text(CLAIMS.replace("5.4,mAP,", "5.4,,"))
    figure = draw.draw(plan, view)
    assert not figure.axes[1].texts
    assert "‡" not in figure.get_supxlabel()


def test_a_verdict_stands_beside_the_panel_however_wide_an_interval_is(plan: Plan, view: View):
    (plan.results / "claims.csv").write_text(CLAIMS.replace("0.3,2.2", "-40,40"))
    figure = draw.draw(plan, view)
    figure.draw_without_rendering()
    measured, reported = figure.axes
    # three times the largest effect, and arrows where the interval goes on
    assert [-3.75, 3.75] in lines(measured, marked=False)
    arrows = [(one.get_marker(), one.get_xdata()[0]) for one in measured.lines if one.get_marker() in "<>"]
    assert arrows == [("<", -3.75), (">", 3.75)]
    for words in measured.texts:
        box = words.get_window_extent()
        assert measured.bbox.x1 < box.x0 < box.x1 < reported.bbox.x0
