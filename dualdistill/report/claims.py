"""The verdict on every claim: paired differences over seeds, judged by a rule fixed in advance.

The rule is in config/claims.yaml: Student's t on the differences of a pair; a claim is as strong as its
weakest pair.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from scipy import stats

from dualdistill.config.views import METRICS
from dualdistill.plan.columns import POINT, Measure
from dualdistill.plan.plan import Plan
from dualdistill.plan.tables import Claim, Pair
from dualdistill.report import collect, renderers
from dualdistill.report.collect import Evidence, Records, exact
from dualdistill.report.numbers import Score, rounded, span
from dualdistill.report.table import DAMAGED, HOW_DAMAGED, Column, Kind, Measured, Reported, Row, Table
from dualdistill.store.files import atomic_write
from dualdistill.store.records import DEVKIT_NAMES

NAME, PAIRS_NAME = "claims", "claims_pairs"
EFFECT = Measure("effect", "metrics", (), POINT, places=2)  # effects of a few tenths need two places
TITLE = "What the runs say of the claims"
RULE = """\
The effect of a pair is the mean over seeds of what its first row scores above the second, seed by seed, in
points; its interval, in brackets, is Student's t on these differences, at {level}. A
claim has the effect of its weakest pair and an interval that holds the smallest effect of all its pairs: it
is supported where that lies above zero, contradicted where it lies below, and undecided otherwise, as with
one seed, which has no interval. The rule stands in config/claims.yaml, which says when it was fixed."""
PAIRS_RULE = "Every pair judged alone; a claim holds when it holds in all of its pairs."


@dataclass(frozen=True)
class Effect:
    """A mean difference in 0..1 with an interval, which needs two seeds."""

    mean: Decimal
    low: float | None
    high: float | None
    n: int


def paired(differences: Sequence[Decimal], level: float) -> Effect:
    """Mean and Student's t interval of differences, one per seed."""
    n, mean = len(differences), statistics.mean(differences)
    if n < 2:
        return Effect(mean, None, None, n)
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * float(statistics.stdev(differences)) / math.sqrt(n)
    return Effect(mean, float(mean) - half, float(mean) + half, n)


def smallest(pairs: Sequence[Sequence[Decimal]], level: float) -> Effect:
    """The smallest of several effects, with an interval that holds however the pairs depend on each other.

    The smallest true effect is that of one pair, so it lies above the least lower end unless that pair's
    interval misses; and it lies below every upper end unless one of them misses, hence the division.
    """
    strict = 1 - (1 - level) / len(pairs)
    lows, highs = ([paired(pair, each) for pair in pairs] for each in (level, strict))
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


def tables(plan: Plan, *, allow_missing: bool = False, records: Records | None = None) -> tuple[Table, Table]:
    """All claims, and all their pairs judged alone."""
    claims, level = plan.claims.claims, plan.claims.level
    runs = (run for claim in claims for pair in claim.pairs for both in pair.runs for run in both)
    known = records or Records(plan)
    evidence = known.select(dict.fromkeys(runs), "claims", allow_missing=allow_missing)
    single = [Claim(claim.name, claim.says, (pair,)) for claim in claims for pair in claim.pairs]
    judged, parts = (
        tuple(judge(claim, metric, level, evidence) for claim in several for metric in METRICS)
        for several in (claims, single)
    )
    about = {"level": str(level), **collect.about(plan, plan.shown / f"{NAME}.csv")}
    note = RULE.format(level=f"{100 * level:g}\N{NO-BREAK SPACE}%")
    synthetic = plan.data.synthetic
    preface = tuple(_preface(plan, parts))
    columns, alone = _columns("Pairs", "Weakest pair"), _columns("", "Pair")
    return (
        Table(NAME, TITLE, columns, judged, about, synthetic, preface, note),
        Table(PAIRS_NAME, "The claims, pair by pair", alone, parts, about, synthetic, note=PAIRS_RULE),
    )


def judge(claim: Claim, metric: str, level: float, evidence: Mapping[str, Evidence]) -> Row:
    """The claim's verdict in one metric; a pair counts the seeds that both of its rows have."""
    differences = [_differences(pair, metric, evidence) for pair in claim.pairs]
    effect, weakest = None, claim.pairs[0]
    if all(differences):
        means = [statistics.mean(values) for values in differences]
        effect, weakest = smallest(differences, level), claim.pairs[means.index(min(means))]
    reported = _reported(claim.pairs, metric)
    labels = {
        "claim": claim.name,
        "says": claim.says,
        "metric": metric,
        "pairs": str(len(claim.pairs)),
        "row": weakest.row,
        "beats": weakest.beats,
        "weakest_pair": f"{weakest.row} over {weakest.beats}" if effect else "",
        "reported_holds": ("no" if reported.note else "yes") if reported else "",
        "damaged": metric if reported and reported.damaged else "",
        "verdict": verdict(effect),
    }
    measured = {"effect": _cell(effect)} if effect else {}
    return Row(labels, measured, {"effect": reported} if reported else {})


def _differences(pair: Pair, metric: str, evidence: Mapping[str, Evidence]) -> list[Decimal]:
    differences = []
    for ours, theirs in pair.runs:
        if ours in evidence and theirs in evidence:
            key = DEVKIT_NAMES[metric]
            differences.append(exact(evidence[ours].metrics[key]) - exact(evidence[theirs].metrics[key]))
    return differences


def _cell(effect: Effect) -> Measured:
    interval = None
    if effect.low is not None and effect.high is not None:
        interval = exact(effect.low), exact(effect.high)
    return Measured(EFFECT, Score(effect.mean, None, effect.n), interval=interval)


def _reported(pairs: Sequence[Pair], metric: str) -> Reported | None:
    """The smallest difference between reported numbers; None where the poster lacks one."""
    if any(metric not in pair.reported for pair in pairs):
        return None
    effects = []
    for ours, theirs in (pair.reported[metric] for pair in pairs):
        effect = exact(ours.value) - exact(theirs.value)
        damaged = "inferred" in (ours.certainty, theirs.certainty)
        effects.append(Reported(effect, damaged=damaged, note="" if effect > 0 else "does not hold"))
    # of equal effects take the damaged one, so that a claim that rests on it is marked
    return min(effects, key=lambda effect: (effect.value, not effect.damaged))


def _columns(pairs: str, pair: str) -> tuple[Column, ...]:
    """The columns, given the headings of the number of pairs and of the pair that has the effect."""
    return (
        Column("claim", Kind.LABEL),  # people read its sentence
        Column("says", Kind.LABEL, "Claim"),
        Column("metric", Kind.LABEL, "Metric"),
        Column("pairs", Kind.LABEL, pairs),
        Column("weakest_pair", Kind.LABEL, pair),
        Column("effect", Kind.MEAN, "Effect"),
        Column("low", Kind.LOW, cell="effect"),
        Column("high", Kind.HIGH, cell="effect"),
        Column("n_seeds", Kind.SEEDS, "n"),
        Column("reported_effect", Kind.REPORTED, "Effect", "effect"),
        Column("reported_holds", Kind.LABEL),
        Column("damaged", Kind.LABEL),
        Column("verdict", Kind.LABEL, "Verdict"),
        *(Column(name, Kind.ABOUT) for name in ("level", "data", "profile", "recipe", "command")),
    )


def _preface(plan: Plan, parts: Sequence[Row]) -> list[str]:
    level = f"{100 * plan.claims.level:g} %"
    return [
        *collect.provenance(plan),
        f"Seeds per pair of rows: {span([row.seeds for row in parts])}.",
        f"Effects in points, of a claim's weakest pair; in brackets the {level} interval over paired seeds, "
        "by the rule in config/claims.yaml. One seed has none and decides nothing.",
        "Reported: the poster's own numbers in its weakest pair; they have no interval.",
        "The least of several noisy means tends to be too low; nothing corrects for there being many claims.",
        f"Made by: {collect.command(plan, plan.shown / f'{NAME}.csv')}",
    ]


def write(plan: Plan, stem: Path, *, allow_missing: bool = False) -> None:
    """All claims as .md and .csv, and their pairs, the claims' .csv last."""
    claims, pairs = tables(plan, allow_missing=allow_missing)
    atomic_write(stem.with_name(f"{stem.name}.md"), markdown(claims, pairs))
    atomic_write(stem.with_name(f"{stem.name}_pairs.csv"), renderers.to_csv(pairs))
    atomic_write(stem.with_name(f"{stem.name}.csv"), renderers.to_csv(claims))


def markdown(claims: Table, pairs: Table) -> str:
    """Both tables in one document; a pair of several claims is printed once."""
    preface = "\n".join(f"- {line}" for line in claims.preface)
    headings = ("Claim", "Pairs", "Metric", "Effect", "n", "Verdict", "Reported")
    lines = []
    for row in claims.rows:
        says, count, metric, result = (row.labels[key] for key in ("says", "pairs", "metric", "verdict"))
        lines.append((says, count, metric, _effect(row), str(row.seeds), result, _poster(row)))
    single = [
        (*(row.labels[key] for key in ("row", "beats", "metric")), _effect(row), _poster(row))
        for row in pairs.rows
    ]
    judged = renderers.pipes(headings, lines)
    alone = renderers.pipes(("Row", "over", "Metric", "Effect", "Reported"), list(dict.fromkeys(single)))
    note = f"\n{DAMAGED} {HOW_DAMAGED}\n" if pairs.has_damaged else ""
    return f"# {claims.title}\n\n{preface}\n\n{judged}\n\n## Pair by pair\n\n{alone}\n{note}"


def _effect(row: Row) -> str:
    if "effect" not in row.measured:
        return "-"
    cell = row.measured["effect"]
    interval = f" [{', '.join(cell.ends)}]" if cell.ends else ""
    return f"{cell.print(cell.score.mean, sign=True)}{interval}"


def _poster(row: Row) -> str:
    if "effect" not in row.reported:
        return "-"
    effect = row.reported["effect"]
    mark, note = DAMAGED if effect.damaged else "", f", {effect.note}" if effect.note else ""
    return f"{rounded(effect.value, sign=True)}{mark}{note}"
