"""Do the runs bear out what was claimed? Paired differences over seeds, and a verdict by a rule fixed before.

The rule is told in config/claims.yaml: Student's t on the differences of a pair; a claim is as strong as its
weakest pair.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import stats

from dualdistill.plan.columns import MEASURES
from dualdistill.plan.plan import Plan
from dualdistill.plan.tables import METRICS, Claim, Pair
from dualdistill.report.collect import NOT_COMPARABLE, Evidence, command, evidence
from dualdistill.report.numbers import points, rounded, span
from dualdistill.report.tables import DAMAGED, READ_FROM_DAMAGE
from dualdistill.store.files import atomic_write

PLACES = 2  # effects of a few tenths need them


@dataclass(frozen=True)
class Effect:
    """A mean difference in 0..1 with an interval, which one seed does not have."""

    mean: Decimal
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Told:
    """What the poster's own numbers say of a pair, in points."""

    effect: Decimal
    damaged: bool  # one of the two was read from a damaged print


@dataclass(frozen=True)
class Judged:
    """A claim in one metric."""

    claim: Claim
    metric: str
    weakest: Pair
    effect: Effect | None  # None where runs are missing
    reported: Told | None  # of the pair that is weakest on the poster
    verdict: str


def paired(differences: Sequence[Decimal], level: float) -> Effect:
    """Mean and Student's t interval of differences that belong to one seed each."""
    n, mean = len(differences), statistics.mean(differences)
    if n < 2:
        return Effect(mean, None, None, n)
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * float(statistics.stdev(differences)) / math.sqrt(n)
    return Effect(mean, float(mean) - half, float(mean) + half, n)


def smallest(pairs: Sequence[Sequence[Decimal]], level: float) -> Effect:
    """The smallest of several effects; its interval holds at the level, whatever the pairs' dependence.

    The smallest true effect is one of the pairs', so it lies above the least lower end unless that pair's
    interval misses; and it lies below every upper end unless one of them misses, hence the division.
    """
    strict = 1 - (1 - level) / len(pairs)
    lows, highs = ([paired(own, each) for own in pairs] for each in (level, strict))
    mean, n = min(effect.mean for effect in lows), min(effect.n for effect in lows)
    if n < 2:
        return Effect(mean, None, None, n)
    low = min(effect.low for effect in lows if effect.low is not None)
    high = min(effect.high for effect in highs if effect.high is not None)
    return Effect(mean, low, high, n)


def verdict(effect: Effect | None) -> str:
    if effect is None or effect.low is None or effect.high is None:
        return "undecided"
    if effect.low > 0:
        return "supported"
    return "contradicted" if effect.high < 0 else "undecided"


def judge(claim: Claim, metric: str, level: float, records: Mapping[str, Evidence]) -> Judged:
    """The claim's verdict in one metric; a pair counts the seeds that both of its rows have."""
    differences = [_differences(pair, metric, records) for pair in claim.pairs]
    told = [_reported(pair, metric) for pair in claim.pairs]
    known = [one for one in told if one]
    # of equal effects the one from a damaged print: what rests on it should say so
    reported = min(known, key=lambda one: (one.effect, not one.damaged)) if len(known) == len(told) else None
    if not all(differences):
        return Judged(claim, metric, claim.pairs[0], None, reported, "undecided")
    means = [statistics.mean(own) for own in differences]
    effect = smallest(differences, level)
    return Judged(claim, metric, claim.pairs[means.index(min(means))], effect, reported, verdict(effect))


def _differences(pair: Pair, metric: str, records: Mapping[str, Evidence]) -> list[Decimal]:
    found = []
    for ours, theirs in pair.runs:
        if ours in records and theirs in records:
            scores = [MEASURES[metric].find(records[run].metrics) for run in (ours, theirs)]
            better, worse = (Decimal(repr(score)) for score in scores)
            found.append(better - worse)
    return found


def _reported(pair: Pair, metric: str) -> Told | None:
    if metric not in pair.reported:
        return None
    ours, theirs = (Decimal(repr(told.value)) for told in pair.reported[metric])
    return Told(ours - theirs, any(told.certainty == "inferred" for told in pair.reported[metric]))


def write(plan: Plan, stem: Path, *, allow_missing: bool = False) -> None:
    """All claims as .md and .csv, and their pairs, the claims' .csv last."""
    claims = plan.claims.claims
    compared = (pair.runs for claim in claims for pair in claim.pairs)
    wanted = dict.fromkeys(run for runs in compared for both in runs for run in both)
    records = evidence(plan, "claims", wanted, allow_missing=allow_missing)
    level = plan.claims.level
    judged = [judge(claim, metric, level, records) for claim in claims for metric in METRICS]
    parts = [
        judge(Claim(claim.name, claim.says, (pair,)), metric, level, records)
        for claim in claims
        for pair in claim.pairs
        for metric in METRICS
    ]
    atomic_write(stem.with_name(f"{stem.name}.md"), markdown(plan, judged, parts))
    for name, lines in ((f"{stem.name}_pairs", parts), (stem.name, judged)):
        frame = pd.DataFrame([_record(plan, line) for line in lines])
        atomic_write(stem.with_name(f"{name}.csv"), frame.to_csv(index=False, lineterminator="\n"))


def _record(plan: Plan, line: Judged) -> dict[str, Any]:
    effect, told, settings = line.effect, line.reported, plan.settings
    return {
        "claim": line.claim.name,
        "says": line.claim.says,
        "metric": line.metric,
        "pairs": len(line.claim.pairs),
        "weakest_pair": f"{line.weakest.row} over {line.weakest.beats}" if effect else "",
        "effect": points(effect.mean, places=PLACES) if effect else "",
        "low": _points(effect.low) if effect else "",
        "high": _points(effect.high) if effect else "",
        "n_seeds": effect.n if effect else 0,
        "reported_effect": rounded(told.effect) if told else "",
        "reported_holds": ("yes" if told.effect > 0 else "no") if told else "",
        "damaged": line.metric if told and told.damaged else "",
        "verdict": line.verdict,
        "level": plan.claims.level,
        "data": plan.measured_on,
        "profile": settings.profile,
        "recipe": settings.recipe,
        "command": command(plan, plan.shown / "claims.csv"),
    }


def _points(value: float | None) -> str:
    return "" if value is None else points(Decimal(repr(value)), places=PLACES)


def markdown(plan: Plan, judged: Sequence[Judged], parts: Sequence[Judged]) -> str:
    data = f"{plan.measured_on} ({NOT_COMPARABLE})" if plan.data.world else plan.measured_on
    settings, level = plan.settings, f"{100 * plan.claims.level:g} %"
    head = [
        f"Data: {data}; profile: {settings.profile}.",
        f"Recipe: {settings.recipe} ({plan.recipe}).",
        f"Seeds per pair of rows: {span([line.effect.n if line.effect else 0 for line in parts])}.",
        f"Effects in points, of a claim's weakest pair; in brackets the {level} interval over paired seeds, "
        "by the rule in config/claims.yaml. One seed has none and decides nothing.",
        "Reported: the poster's own numbers in its weakest pair; they have no interval.",
        "The least of several noisy means tends to be too low; nothing corrects for there being many claims.",
        f"Made by: {command(plan, plan.shown / 'claims.csv')}",
    ]
    lines = [
        {
            "Claim": line.claim.says,
            "Pairs": str(len(line.claim.pairs)),
            "Metric": line.metric,
            "Effect": _shown(line),
            "n": str(line.effect.n if line.effect else 0),
            "Verdict": line.verdict,
            "Reported": _told(line),
        }
        for line in judged
    ]
    pairs = {
        f"{line.weakest.row} over {line.weakest.beats}, {line.metric}": {
            "Row": line.weakest.row,
            "over": line.weakest.beats,
            "Metric": line.metric,
            "Effect": _shown(line),
            "Reported": _told(line),
        }
        for line in parts
    }
    claims, single = (
        pd.DataFrame(part).to_markdown(index=False, disable_numparse=True) for part in (lines, pairs.values())
    )
    listed = "\n".join(f"- {line}" for line in head)
    damaged = any(line.reported and line.reported.damaged for line in parts)
    note = f"\n{READ_FROM_DAMAGE}\n" if damaged else ""
    return f"# What the runs say of the claims\n\n{listed}\n\n{claims}\n\n## Pair by pair\n\n{single}\n{note}"


def _shown(line: Judged) -> str:
    if line.effect is None:
        return "-"
    mean, low, high = line.effect.mean, line.effect.low, line.effect.high
    interval = "" if low is None else f" [{_points(low)}, {_points(high)}]"
    return f"{points(mean, places=PLACES, sign=True)}{interval}"


def _told(line: Judged) -> str:
    told = line.reported
    if told is None:
        return "-"
    mark, holds = DAMAGED if told.damaged else "", "" if told.effect > 0 else ", does not hold"
    return f"{rounded(told.effect, sign=True)}{mark}{holds}"
