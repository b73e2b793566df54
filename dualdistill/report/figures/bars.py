"""One bar per row of a table, named by what tells the rows apart: an ablation at a glance."""

from __future__ import annotations

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dualdistill.plan import Plan
from dualdistill.report.collect import Row, Table
from dualdistill.report.figures import page, scores
from dualdistill.report.figures.views import View
from dualdistill.report.numbers import points

ROOM = {True: 1.55, False: 1.25}  # for the number beside the longest bar; a measured one has its gain there
NAME_LETTERS = 34  # of a line of a row's name


def draw(plan: Plan, view: View) -> Figure:
    table = scores.kept(plan, view)
    kinds = 2 if scores.has_reported(table) else 1
    figure = Figure(figsize=(7.2, 0.6 + kinds * (0.55 + 0.3 * len(table.rows))))
    for axes, metric, measured in scores.panels(figure, table, sharey=True):
        _panel(axes, table, metric, measured=measured)
        axes.set_xlabel(scores.name_axis(table, metric, measured=measured))
    figure.axes[0].set_yticks(range(len(table.rows)), names(table))
    figure.axes[0].invert_yaxis()
    scores.footer(figure, table)
    return figure


def names(table: Table) -> list[str]:
    """A row by the columns in which rows differ; a method or a backbone needs no word in front of it."""
    differ = [c for c in table.columns if len({row.labels[c] for row in table.rows}) > 1] or table.columns
    return [_name(row, differ) for row in table.rows]


def _name(row: Row, columns: list[str] | tuple[str, ...]) -> str:
    speaking = ("method", "backbone", "base", "row", "teacher_row")
    parts = [row.labels[c] if c in speaking else f"{c} {row.labels[c]}" for c in columns if row.labels[c]]
    parts = [part.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}") for part in parts]
    kept = [part if len(part) > NAME_LETTERS else part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts]
    return textwrap.fill(", ".join(kept).replace("_", "\N{NO-BREAK SPACE}") or "-", NAME_LETTERS)


def _panel(axes: Axes, table: Table, metric: str, *, measured: bool) -> None:
    longest = 0.0
    for place, row in enumerate(table.rows):
        number = scores.value(row, metric, measured=measured)
        if number is None:
            continue
        length, error = float(number), scores.spread(row, metric) if measured else None
        style = scores.face(0, measured=measured)
        axes.barh(place, length, height=0.62, xerr=error, error_kw={"elinewidth": 0.9}, **style)
        text = scores.text(row, metric, measured=measured)
        if measured and metric in row.delta:
            text += f" ({points(row.delta[metric], sign=True)})"
        end = length + (error or 0)
        axes.annotate(
            text, (end, place), (3, 0), textcoords="offset points", va="center", fontsize=page.small()
        )
        longest = max(longest, end)
    axes.set_xlim(0, ROOM[measured] * longest or 1)
    axes.locator_params(axis="x", nbins=5, prune="upper")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
