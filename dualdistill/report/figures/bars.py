"""One bar per row of a table, named by the labels in which rows differ: an ablation at a glance."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dualdistill.plan.figures import FigureView
from dualdistill.plan.plan import Plan
from dualdistill.report.figures import layout, table_charts
from dualdistill.report.table import Table

ROOM = {True: 1.55, False: 1.25}  # for the number beside the longest bar, with the gain if it is measured


def draw(plan: Plan, view: FigureView) -> Figure:
    table = table_charts.kept(plan, view)
    kinds = 2 if table.has_reported else 1
    figure = layout.blank(0.6 + kinds * (0.55 + 0.3 * len(table.rows)))
    columns = len(table_charts.metrics(table))
    for axes, metric, measured in table_charts.panels(figure, table, columns=columns, sharey=True):
        _panel(axes, table, metric, measured=measured)
        axes.set_xlabel(table_charts.name_axis(table, metric, measured=measured))
    figure.axes[0].set_yticks(range(len(table.rows)), table_charts.names(table))
    figure.axes[0].invert_yaxis()
    table_charts.footer(figure, table)
    return figure


def _panel(axes: Axes, table: Table, metric: str, *, measured: bool) -> None:
    longest = 0.0
    for place, row in enumerate(table.rows):
        number = table_charts.value(row, metric, measured=measured)
        if number is None:
            continue
        length, error = float(number), table_charts.spread(row, metric) if measured else None
        style = table_charts.face(0, measured=measured)
        axes.barh(place, length, height=0.62, xerr=error, error_kw={"elinewidth": 0.9}, **style)
        text = table_charts.text(row, metric, measured=measured)
        gain = row.measured[metric].gain_text(sign=True) if measured else ""
        text += f" ({gain})" if gain else ""
        end = length + (error or 0)
        axes.annotate(
            text, (end, place), (3, 0), textcoords="offset points", va="center", fontsize=layout.small()
        )
        longest = max(longest, end)
    axes.set_xlim(0, ROOM[measured] * longest or 1)
    axes.locator_params(axis="x", nbins=5, prune="upper")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
