"""The poster's claims as a forest plot: measured effects with their intervals, the reported ones apart."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dualdistill.config import METRICS
from dualdistill.errors import DataError
from dualdistill.plan import Plan
from dualdistill.report.collect import NOT_COMPARABLE
from dualdistill.report.figures import page, scores
from dualdistill.report.figures.views import CLAIMS, View

TEXTS = ("claim", "says", "metric", "verdict")
NUMBERS = ("effect", "low", "high", "n_seeds", "reported_effect")
LETTERS = 36  # of a line of a claim
MARKS = "os"  # by metric
BESIDE = 0.17  # of a claim's row, by which its metrics stand apart


def draw(plan: Plan, view: View) -> Figure:
    claims = read(plan.shown / CLAIMS)
    names = list(dict.fromkeys(claims["claim"]))
    handles = [
        Line2D([], [], color=page.colour(number), marker=MARKS[number], label=metric)
        for number, metric in enumerate(METRICS)
    ]
    figure, below = page.with_legend(7.2, 1.4 + 0.46 * len(names), handles)
    measured, reported = below.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    for claim in claims.to_dict("records"):
        number = METRICS.index(claim["metric"])
        place = names.index(claim["claim"]) + BESIDE * (2 * number - 1)
        _measured(measured, claim, place, number)
        if pd.notna(claim["reported_effect"]):
            hollow = {"color": page.colour(number), "markerfacecolor": "white"}
            reported.plot(claim["reported_effect"], place, MARKS[number], **hollow)
    says = claims.drop_duplicates("claim")["says"]
    measured.set_yticks(range(len(names)), [textwrap.fill(text, LETTERS) for text in says])
    measured.set_ylim(len(names) - 0.5, -0.5)
    measured.set_xlabel(f"points on {plan.measured_on}")
    reported.set_xlabel(scores.REPORTED)
    for axes in (measured, reported):
        axes.axvline(0, color="black", linewidth=0.8)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.12)
    note = f"{plan.measured_on}: {NOT_COMPARABLE}. " if plan.data.world else ""
    page.small_print(
        figure, f"{note}Effects in points. An interval needs two seeds; a reported effect has none."
    )
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


def _measured(axes: Axes, claim: dict[str, float], place: float, number: int) -> None:
    """The effect, its interval if there is one, and the verdict beside it."""
    effect, low, high = claim["effect"], claim["low"], claim["high"]
    end = 0.0
    if pd.notna(effect):
        end = effect
        axes.plot(effect, place, MARKS[number], color=page.colour(number))
        if pd.notna(low) and pd.notna(high):
            end = high
            axes.plot([low, high], [place, place], color=page.colour(number))
    n = f"n = {claim['n_seeds']:.0f}, " if claim["n_seeds"] > 0 else ""
    axes.annotate(
        f"{n}{claim['verdict']}" if pd.notna(effect) else "not measured",
        (end, place),
        (5, 0),
        textcoords="offset points",
        va="center",
        fontsize=page.small(),
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
    )
