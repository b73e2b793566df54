"""mAP over the length of the training, beside mAP over the time that it took.

Every line is a method, every point a mean over seeds. With two or three seeds a row's own spread is too
uncertain for an interval, so the rows of one length share theirs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import stats

from dualdistill.errors import UserError
from dualdistill.plan.columns import MEASURES
from dualdistill.plan.figures import FigureView
from dualdistill.plan.plan import Plan
from dualdistill.report.collect import Records, gather
from dualdistill.report.figures import layout
from dualdistill.report.table import NOT_COMPARABLE, Row, Table

SCORE, TIME = MEASURES["mAP"], MEASURES["minutes"]
LEVEL = 0.95  # of the intervals
HEIGHT_IN, NAME_IN = 3.6, 2.2
MARKS, SEED = "os^Dv", "."
SEED_STYLE: dict[str, Any] = {
    "markersize": 5,
    "markeredgecolor": "white",
    "markeredgewidth": 0.5,
    "zorder": 3,
}
ASIDE = 0.007  # of the axis: lines that share their places stand beside each other


@dataclass(frozen=True)
class Point:
    """A row in numbers: its length, and the score and the training time of every seed."""

    length: float
    scores: tuple[float, ...]
    minutes: tuple[float, ...]


def draw(plan: Plan, view: FigureView) -> Figure:
    table, x = gather(plan, view.table or "", only=view.rows), view.options["x"]
    records, lines = Records(plan), dict[str, list[Point]]()
    for row in table.rows:
        name = ", ".join(word for label, word in row.labels.items() if label != x and word)
        lines.setdefault(name, []).append(_point(view, records, row))
    points = [point for line in lines.values() for point in line]
    handles = [Line2D([], [], label=name, **_style(number)) for number, name in enumerate(lines)]
    figure, below = layout.with_legend(HEIGHT_IN, handles, NAME_IN)
    by_length, by_time = below.subplots(1, 2, sharey=True)
    aside = ASIDE * max(point.length for point in points)
    for number, line in enumerate(lines.values()):
        line.sort(key=lambda point: point.length)
        shift = aside * (number - (len(lines) - 1) / 2)
        _line(by_length, [[point.length + shift] * len(point.scores) for point in line], line, points, number)
        _line(by_time, [point.minutes for point in line], line, points, number)
    heading = next(column.heading for column in table.labels if column.key == x)
    by_length.set_xlabel(f"{heading} of the training")
    by_time.set_xlabel("Minutes of the training, as measured")
    by_length.set_ylabel(f"mAP on {table.about['data']}")
    layout.small_print(figure, _caption(table, points), *table.footnotes)
    return figure


def half_width(point: Point, points: Sequence[Point]) -> float | None:
    """Half of Student's interval for a mean, with the variance that all points of its length share."""
    alike = [other.scores for other in points if other.length == point.length and len(other.scores) > 1]
    freedom = sum(len(scores) - 1 for scores in alike)
    if not freedom:
        return None
    pooled = sum((len(scores) - 1) * variance(scores) for scores in alike) / freedom
    return float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(pooled / len(point.scores))


def _point(view: FigureView, records: Records, row: Row) -> Point:
    x = view.options["x"]
    try:
        length = float(row.labels[x])
    except ValueError as error:
        what = f"figure '{view.name}' draws {x} as an axis, and one row prints '{row.labels[x]}'"
        raise UserError(what, hint="leave that row out with show") from error
    read = [evidence for run in row.runs if (evidence := records.get(run))]
    scores = tuple(float(evidence.metrics["mean_ap"]) / float(SCORE.unit) for evidence in read)
    minutes = tuple(float(evidence.trained["seconds"]) / float(TIME.unit) for evidence in read)
    return Point(length, scores, minutes)


def _line(
    axes: Axes,
    places: Sequence[Sequence[float]],
    line: Sequence[Point],
    points: Sequence[Point],
    number: int,
) -> None:
    """Draw the means of a line with their intervals, and every seed as a dot; `places` are on the x axis."""
    means = [fmean(point.scores) for point in line]
    widths = [width for point in line if (width := half_width(point, points)) is not None]
    errors = widths if len(widths) == len(line) else None
    axes.errorbar([fmean(place) for place in places], means, yerr=errors, **_style(number))
    for place, point in zip(places, line, strict=True):
        axes.plot(place, point.scores, SEED, color=layout.colour(number), **SEED_STYLE)


def _style(number: int) -> dict[str, Any]:
    return {"marker": MARKS[number % len(MARKS)], "markersize": 4, "color": layout.colour(number)}


def _caption(table: Table, points: Sequence[Point]) -> str:
    """Data, seeds, and how to read intervals and times."""
    seeds = sorted({len(point.scores) for point in points})
    words = [f"{table.about['data']}: {NOT_COMPARABLE}."] if table.synthetic else []
    words.append(f"Recipe {table.about['recipe']}; seeds per point: {' to '.join(map(str, seeds))}.")
    if seeds[-1] > 1:
        words.append(
            f"Bars: {LEVEL:.0%} intervals over seeds, from the spread that the rows of one length share; "
            "small dots: single seeds."
        )
    return " ".join([*words, "The time is that of the student's training alone."])
