"""The poster's bar chart: groups of bars, one colour and one mark per value of two labels."""

from __future__ import annotations

from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from dualdistill.plan.figures import FigureView
from dualdistill.plan.plan import Plan
from dualdistill.report.figures import layout, table_charts
from dualdistill.report.table import Row, Table

GAP = 0.8  # between groups, in bars
PANEL_IN = 1.75  # high


def draw(plan: Plan, view: FigureView) -> Figure:
    table = table_charts.kept(plan, view)
    kinds = 2 if table.has_reported else 1
    height_in = 1.1 + PANEL_IN * kinds * len(table_charts.metrics(table))
    figure, below = layout.with_legend(height_in, _handles(view, table))
    for axes, metric, measured in table_charts.panels(below, table, columns=1):
        _panel(axes, view, table, metric, measured=measured)
        axes.set_ylabel(table_charts.name_axis(table, metric, measured=measured))
    table_charts.footer(figure, table)
    return figure


def _panel(axes: Axes, view: FigureView, table: Table, metric: str, *, measured: bool) -> None:
    """Groups, and the bars of a group, in the order of the table."""
    colours = _words(table, view.options["colour"])
    place, ticks = 0.0, {}
    top = 0.0
    for group in _words(table, view.options["group"]):
        rows = [row for row in table.rows if row.labels[view.options["group"]] == group]
        ticks[group] = place + (len(rows) - 1) / 2
        for row in rows:
            number = table_charts.value(row, metric, measured=measured)
            if number is not None:
                style = table_charts.face(
                    colours.index(row.labels[view.options["colour"]]), measured=measured
                )
                height, error = float(number), table_charts.spread(row, metric) if measured else None
                bar = axes.bar(place, height, width=0.86, yerr=error, error_kw={"elinewidth": 0.9}, **style)
                _write(
                    axes,
                    view,
                    row,
                    bar,
                    height + (error or 0),
                    table_charts.text(row, metric, measured=measured),
                )
                top = max(top, height + (error or 0))
            place += 1
        place += GAP
    axes.set_xticks(list(ticks.values()), list(ticks))
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")
    axes.set_ylim(0, 1.32 * top or 1)  # room for number and mark


def _write(axes: Axes, view: FigureView, row: Row, bar: BarContainer, top: float, number: str) -> None:
    """Write the number above a bar, and the mark above the number."""
    middle = bar.patches[0].get_x() + bar.patches[0].get_width() / 2
    style: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": layout.small()}
    axes.annotate(number, (middle, top), (0, 2), textcoords="offset points", **style)
    word = row.labels[view.options["mark"]]
    if word:
        mark = view.options["marks"][word]
        offset = matplotlib.transforms.ScaledTranslation(0, 15 / 72, axes.figure.dpi_scale_trans)
        axes.plot(
            [middle], [top], mark, color="black", markersize=_size(mark), transform=axes.transData + offset
        )


def _handles(view: FigureView, table: Table) -> list[Artist]:
    words = _words(table, view.options["colour"])
    shown: list[Artist] = [
        Patch(facecolor=layout.colour(number), label=word) for number, word in enumerate(words)
    ]
    for word in filter(None, _words(table, view.options["mark"])):
        mark = view.options["marks"][word]
        style: dict[str, Any] = {
            "marker": mark,
            "color": "black",
            "linestyle": "none",
            "markersize": _size(mark),
        }
        shown.append(Line2D([], [], label=f"{view.options['mark']}: {word}", **style))
    if table.has_reported:
        shown.append(Patch(facecolor="white", edgecolor="grey", hatch="//////", label=table_charts.REPORTED))
    return shown


def _size(mark: str) -> float:
    """A star fills less of its square than a square does."""
    return float(matplotlib.rcParams["lines.markersize"]) * (1.5 if mark == "*" else 1.0)


def _words(table: Table, column: str) -> list[str]:
    return list(dict.fromkeys(row.labels[column] for row in table.rows))
