"""The poster's claims as a forest plot: measured effects with their intervals, the reported ones apart."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dualdistill.config.views import METRICS
from dualdistill.errors import DataError
from dualdistill.plan.figures import CLAIMS, View
from dualdistill.plan.plan import Plan
from dualdistill.report.collect import NOT_COMPARABLE
from dualdistill.report.figures import layout, table_charts
from dualdistill.report.tables import DAMAGED

TEXTS = ("claim", "says", "metric", "verdict", "damaged")
NUMBERS = ("pairs", "effect", "low", "high", "n_seeds", "reported_effect")
LETTERS = 36  # of a line of a claim
MARKS = "os"  # by metric
BESIDE = 0.17  # of a claim's row, by which its metrics stand apart
REACH = 3  # times the largest effect; an interval beyond is cut off with an arrow


def draw(plan: Plan, view: View) -> Figure:
    claims = read(plan.shown / CLAIMS)
    names = list(dict.fromkeys(claims["claim"]))
    handles = [
        Line2D([], [], color=layout.colour(number), marker=MARKS[number], label=metric)
        for number, metric in enumerate(METRICS)
    ]
    figure, below = layout.with_legend(1.4 + 0.46 * len(names), handles)
    measured, reported = below.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    reach = REACH * claims["effect"].abs().max()
    for claim in claims.to_dict("records"):
        number = METRICS.index(claim["metric"])
        place = names.index(claim["claim"]) + BESIDE * (2 * number - 1)
        _measured(measured, claim, place, number, reach)
        if pd.notna(claim["reported_effect"]):
            _reported(reported, claim, place, number)
    says = [_says(claim) for claim in claims.drop_duplicates("claim").to_dict("records")]
    measured.set_yticks(range(len(names)), says)
    measured.set_ylim(len(names) - 0.5, -0.5)
    measured.set_xlabel(f"points on {plan.measured_on}")
    reported.set_xlabel(table_charts.REPORTED)
    for axes in (measured, reported):
        axes.axvline(0, color="black", linewidth=0.8)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.12)
    layout.small_print(figure, *_notes(plan, claims))
    return figure


def read(path: Path) -> pd.DataFrame:
    """The claims table, if it has the columns that are drawn."""
    if not path.exists():
        raise DataError("the claims are not there", where=str(path), hint=f"snakemake {path}")
    claims = pd.read_csv(path)
    for column in (*TEXTS, *NUMBERS):
        if column not in claims:
            hint = "delete the file and run snakemake"
            raise DataError(f"the claims have no column '{column}'", where=str(path), hint=hint)
    for column in NUMBERS:
        claims[column] = pd.to_numeric(claims[column], errors="coerce")
    return claims


def _notes(plan: Plan, claims: pd.DataFrame) -> list[str]:
    """What the marks and lines are, by the rule of claims.yaml."""
    notes = [f"{plan.measured_on}: {NOT_COMPARABLE}."] if plan.data.world else []
    notes.append(
        "Marks: a claim's effect in points, the smallest over its pairs. "
        f"Lines: its {100 * plan.claims.level:g} % interval, Student's t over n paired seeds by the rule in "
        "config/claims.yaml; an arrow: it goes on. One seed has none, nor has a reported effect."
    )
    if claims["damaged"].notna().any():
        notes.append(f"{DAMAGED} Rests on a damaged print; config/reported.csv says how.")
    return notes


def _says(claim: dict[str, Any]) -> str:
    pairs = f"(weakest of {claim['pairs']:.0f} pairs)".replace(" ", "\N{NO-BREAK SPACE}")
    return textwrap.fill(f"{claim['says']} {pairs if claim['pairs'] > 1 else ''}", LETTERS)


def _measured(axes: Axes, claim: dict[str, Any], place: float, number: int, reach: float) -> None:
    """The effect and its interval if there is one; the verdict stands beside the panel."""
    effect, low, high = claim["effect"], claim["low"], claim["high"]
    if pd.notna(effect):
        axes.plot(effect, place, MARKS[number], color=layout.colour(number))
    if pd.notna(low) and pd.notna(high):
        ends = [max(low, -reach), min(high, reach)]
        axes.plot(ends, [place, place], color=layout.colour(number))
        for end, whole, arrow in zip(ends, (low, high), "<>", strict=True):
            if end != whole:
                axes.plot(end, place, arrow, color=layout.colour(number))
    words = f"n = {claim['n_seeds']:.0f}, {claim['verdict']}" if pd.notna(effect) else "not measured"
    style: dict[str, Any] = {"va": "center", "fontsize": layout.small()}
    axes.text(1.02, place, words, transform=axes.get_yaxis_transform(), **style)


def _reported(axes: Axes, claim: dict[str, Any], place: float, number: int) -> None:
    hollow: dict[str, Any] = {"color": layout.colour(number), "markerfacecolor": "white"}
    axes.plot(claim["reported_effect"], place, MARKS[number], **hollow)
    if pd.notna(claim["damaged"]):
        style: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": layout.small()}
        axes.annotate(DAMAGED, (claim["reported_effect"], place), (5, 0), **style)
