"""The curves over the length of the training: their points, intervals and words."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from report_runs import check_readable, leave_run
from scipy import stats

from dualdistill.errors import DataError, UserError
from dualdistill.plan import figures
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan
from dualdistill.report.figures import draw
from dualdistill.report.figures.budget import Point, half_width

STEPS = (800, 1620, 2430, 3645, 5400)
METHODS = ("baseline", "dualdistill", "inheritance", "first", "second")


@pytest.fixture(autouse=True)
def styled(whole_folder: Path) -> Iterator[None]:
    with draw.styled(whole_folder / figures.STYLE):
        yield


@pytest.fixture
def plan(whole_folder: Path) -> Plan:
    """The shipped table, two seeds: mAP by method and steps, minutes by method."""
    overrides = {"seeds": [0, 1], "profile": "world-long"}
    made = planning.load(whole_folder / "config.yaml", overrides, whole_folder.parent / "results")
    made.paths.index.parent.mkdir(parents=True)
    made.paths.index.write_bytes(b"index")
    for row in made.table("table_budget").rows:
        _, method, steps = row.row.split("-")
        for seed, run in enumerate(row.runs):
            better = 0.02 * METHODS.index(method) + 0.01 * seed
            cost = 1.0 if method == "baseline" else 1.5
            leave_run(made, run, 0.05 * STEPS.index(int(steps)) + better, minutes=cost * int(steps) / 200)
    return made


def drawn(plan: Plan) -> Figure:
    view = figures.load(plan, Path(plan.arguments.split()[1]).parent)["budget"]
    return draw.draw(plan, view)


def bars(figure: Figure, panel: int) -> list[ErrorbarContainer]:
    return [line for line in figure.axes[panel].containers if isinstance(line, ErrorbarContainer)]


def test_every_method_is_a_line_over_steps_and_over_time(plan: Plan):
    figure = drawn(plan)
    check_readable(figure)
    by_steps, by_time = bars(figure, 0), bars(figure, 1)
    assert len(by_steps) == len(by_time) == len(METHODS)
    (steps, scores), (minutes, same) = by_steps[1][0].get_data(), by_time[1][0].get_data()
    assert tuple(steps) == pytest.approx(STEPS, abs=0.02 * max(STEPS))  # beside other lines
    assert list(scores) == list(same) == pytest.approx([2.5, 7.5, 12.5, 17.5, 22.5])
    assert list(minutes) == pytest.approx([1.5 * count / 200 for count in STEPS])
    assert [
        text.get_text() for text in figure.findobj(lambda part: hasattr(part, "get_texts"))[0].get_texts()
    ] == [
        "BEVDepth",
        "DualDistill, MVP",
        "Inherited head alone, MVP",
        "DistillBEV, MVP",
        "LabelDistill, CenterPoint",
    ]


def test_every_seed_is_a_dot(plan: Plan):
    dots = [line for line in drawn(plan).axes[1].lines if line.get_marker() == "."]
    assert len(dots) == len(METHODS) * len(STEPS)
    assert all(len(dot.get_xdata()) == 2 for dot in dots)


def test_intervals_share_the_spread_of_one_length():
    one = Point(800, (10.0, 12.0), (1.0, 1.0))
    other = Point(800, (20.0, 21.0, 22.0), (1.0, 1.0, 1.0))
    elsewhere = Point(1620, (0.0, 50.0), (2.0, 2.0))
    points = [one, other, elsewhere]
    pooled = (2.0 * 1 + 1.0 * 2) / 3  # variances 2 and 1, with 1 and 2 degrees of freedom
    assert half_width(one, points) == pytest.approx(stats.t.ppf(0.975, 3) * math.sqrt(pooled / 2))
    assert half_width(other, points) == pytest.approx(stats.t.ppf(0.975, 3) * math.sqrt(pooled / 3))
    assert half_width(Point(800, (10.0,), (1.0,)), [Point(800, (10.0,), (1.0,))]) is None


def test_the_words_say_how_to_read_it(plan: Plan):
    figure = drawn(plan)
    assert figure.axes[0].get_xlabel() == "Steps of the training"
    assert figure.axes[0].get_ylabel() == "mAP on world"
    words = " ".join(figure.get_supxlabel().split())
    assert "seeds per point: 2." in words
    assert "95% intervals over seeds, from the spread that the rows of one length share" in words


def test_a_missing_run_is_not_drawn_over(plan: Plan):
    run = plan.runs[plan.table("table_budget").rows[0].runs[0]]
    (plan.scores(run) / "metrics.json").unlink()
    with pytest.raises(DataError, match="table 'table_budget' lacks 1 of 50 runs"):
        drawn(plan)


def test_a_row_without_a_length_is_refused(plan: Plan, whole_folder: Path):
    path = whole_folder / "figures.yaml"
    path.write_text(path.read_text().replace("x: schedule.total_steps", "x: method"))
    with pytest.raises(UserError, match="figure 'budget' draws method as an axis, and one row prints 'BEVD"):
        drawn(plan)
