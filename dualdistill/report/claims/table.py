"""The tables of the claims: every endpoint and every conjunction, and all pairs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from dualdistill.plan.columns import POINT, Measure
from dualdistill.plan.plan import Plan
from dualdistill.plan.tables import Claim, Pair
from dualdistill.report import collect
from dualdistill.report.claims import contrasts, evidence, rule
from dualdistill.report.claims.contrasts import Contrast
from dualdistill.report.claims.estimate import Measured as MeasuredRows
from dualdistill.report.claims.rule import Estimate, Interval, Judged
from dualdistill.report.collect import Records, exact
from dualdistill.report.numbers import Score, rounded, span
from dualdistill.report.table import Column, Kind, Measured, Reported, Row, Table

NAME, PAIRS_NAME = "claims", "claims_pairs"
EFFECT = Measure("effect", "metrics", (), POINT, places=2)  # effects of a few tenths need two places
TITLE = "What the runs say of the claims"
# the intervals by what they cover, and their headings
STUDENTS, BOTH, FRAMES = (
    "other_students_these_frames",
    "other_students_other_frames",
    "these_students_other_frames",
)
COVERS = {
    name: name.replace("_", " ").replace("students ", "students, ", 1) for name in (STUDENTS, BOTH, FRAMES)
}
RULE = """\
A claim has one endpoint, in points of mAP: the mean over its pairs of what a row scores above the other,
or a trend. It is supported or contradicted where Holm's correction over the claims of its family, main or
further, at {level}, excludes that there is no effect; has no effect beyond the margin where two one-sided
tests place it within ±{margin}; and is undecided otherwise, with the smallest effect that would have been
found. The interval over other students and other frames decides; with one seed nothing does. A second
line judges whether the effect is above zero in every pair. NDS is descriptive. The rule stands in
config/claims.yaml, which says when it was fixed."""
PAIRS_RULE = "Descriptive: every pair with its own intervals, at {level} each and without any correction."


@dataclass(frozen=True)
class Line:
    """A line of a table: the estimate of a contrast, or of the weakest of several."""

    estimate: Estimate | None
    intervals: Mapping[str, Interval | None]
    judged: Judged | None = None
    pair: Pair | None = None  # that has the effect


def tables(plan: Plan, *, allow_missing: bool = False, records: Records | None = None) -> tuple[Table, Table]:
    """All claims, and all their pairs."""
    known = (records or Records(plan)).select(
        dict.fromkeys(run for row in plan.claims.rows.values() for run in row.runs.values()),
        "claims",
        allow_missing=allow_missing,
    )
    level, margin = plan.claims.level, plan.claims.margin
    measured = {metric: evidence.measured(plan, known, metric) for metric in ("mAP", "NDS")}
    estimates = [measured["mAP"].estimate(contrasts.endpoint(claim)) for claim in plan.claims.claims]
    judged = _judge_families(plan.claims.claims, estimates, level, margin)
    rows, parts = [], []
    for claim, estimate, verdict in zip(plan.claims.claims, estimates, judged, strict=True):
        pairs = [measured["mAP"].estimate(contrasts.of_pair(pair)) for pair in claim.pairs]
        first = Line(estimate, _intervals(estimate, level), verdict)
        rows.append(_row(claim, "trend" if claim.trend else "mean", first, measured["NDS"]))
        if len(pairs) > 1:
            rows.append(_row(claim, "every pair", _weakest(claim, pairs, level), measured["NDS"]))
        for pair, single in zip(claim.pairs, pairs, strict=True):
            line = Line(single, _intervals(single, level), pair=pair)
            parts.append(_row(Claim(claim.name, claim.says, (pair,)), "pair", line, measured["NDS"]))
    about = {"level": f"{level}", "margin": f"{margin}", **collect.about(plan, plan.shown / f"{NAME}.csv")}
    words = {"level": f"{100 * level:g}\N{NO-BREAK SPACE}%", "margin": f"{margin:g}"}
    synthetic, preface = plan.data.synthetic, tuple(_preface(plan, parts))
    columns, alone = _columns(), _columns(pairs=True)
    return (
        Table(NAME, TITLE, columns, tuple(rows), about, synthetic, preface, RULE.format(**words)),
        Table(
            PAIRS_NAME,
            "The claims, pair by pair",
            alone,
            tuple(parts),
            about,
            synthetic,
            note=PAIRS_RULE.format(**words),
        ),
    )


def _judge_families(
    claims: Sequence[Claim], estimates: Sequence[Estimate | None], level: float, margin: float
) -> list[Judged]:
    """Verdicts in the order of the claims; main claims and further ones are two families of Holm's."""
    judged: dict[int, Judged] = {}
    for main in (True, False):
        family = [place for place, claim in enumerate(claims) if claim.main == main]
        verdicts = rule.judge([estimates[place] for place in family], level, margin)
        judged |= dict(zip(family, verdicts, strict=True))
    return [judged[place] for place in range(len(claims))]


def _intervals(estimate: Estimate | None, level: float) -> dict[str, Interval | None]:
    """The intervals of an estimate by what they cover; that over frames alone is for one seed."""
    if estimate is None:
        return {}
    covered = {STUDENTS: estimate.these_frames, BOTH: estimate.other_frames}
    if not estimate.students:
        covered[FRAMES] = estimate.frames
    return {name: rule.interval(estimate.effect, part, level) for name, part in covered.items()}


def _weakest(claim: Claim, pairs: Sequence[Estimate | None], level: float) -> Line:
    """The conjunction: the smallest effect, and intervals for it."""
    known = [pair for pair in pairs if pair]
    if len(known) < len(pairs):
        return Line(None, {}, Judged("undecided", lacks="missing runs"))
    effects = [pair.effect for pair in known]
    weakest = effects.index(min(effects))
    parts = {STUDENTS: [pair.these_frames for pair in known], BOTH: [pair.other_frames for pair in known]}
    ends = {name: rule.smallest(effects, several, level) for name, several in parts.items()}
    judged = Judged(rule.side(ends[BOTH]), lacks=next((pair.lacks for pair in known if pair.lacks), ""))
    return Line(known[weakest], ends, judged, claim.pairs[weakest])


def _row(claim: Claim, endpoint: str, line: Line, nds: MeasuredRows) -> Row:
    judged, estimate, pair = line.judged, line.estimate, line.pair
    reported = _reported(claim, endpoint)
    labels = {
        "claim": claim.name,
        "says": claim.says,
        "family": "main" if claim.main else "further",
        "endpoint": endpoint,
        "pairs": str(len(claim.pairs)),
        "pair": f"{pair.row} over {pair.beats}" if pair else "",
        "row": pair.row if pair else "",
        "beats": pair.beats if pair else "",
        "n_scenes": str(estimate.scenes) if estimate and estimate.scenes else "",
        "variance": estimate.method if estimate else "",
        "reported_holds": ("no" if reported.note else "yes") if reported else "",
        "damaged": "mAP" if reported and reported.damaged else "",
        **(_verdict(judged) if judged else {}),
    }
    contrast = contrasts.of_pair(pair) if pair else contrasts.endpoint(claim)
    measured = _cells(line) | _descriptive(nds, contrast)
    return Row(labels, measured, {"effect": reported} if reported else {})


def _verdict(judged: Judged) -> dict[str, str]:
    smallest = judged.smallest_found
    return {
        "verdict": judged.verdict,
        "lacks": judged.lacks,
        "smallest_found": "" if smallest is None else f"{smallest:.1f}",
        "p": "" if judged.p is None else f"{judged.p:.2g}",
        "holm_p": "" if judged.holm_p is None else f"{judged.holm_p:.2g}",
    }


def _cells(line: Line) -> dict[str, Measured]:
    """The effect, and a cell for each interval."""
    if line.estimate is None:
        return {}
    score = Score(exact(line.estimate.effect) * POINT, None, line.estimate.seeds)
    cells = {"effect": Measured(EFFECT, score)}
    for name, ends in line.intervals.items():
        if ends:
            cells[name] = Measured(EFFECT, score, interval=(exact(ends[0]) * POINT, exact(ends[1]) * POINT))
    return cells


def _descriptive(nds: MeasuredRows, contrast: Contrast) -> dict[str, Measured]:
    estimate = nds.estimate(contrast)
    score = Score(exact(estimate.effect) * POINT, None, estimate.seeds) if estimate else None
    return {"NDS": Measured(EFFECT, score)} if score else {}


def _reported(claim: Claim, endpoint: str) -> Reported | None:
    """The effect by reported numbers, by the same endpoint; None where the poster lacks one."""
    if any("mAP" not in pair.reported for pair in claim.pairs):
        return None
    values: dict[str, Decimal] = {}
    steps, damaged = [], []
    for pair in claim.pairs:
        ours, theirs = pair.reported["mAP"]
        values |= {pair.row: exact(ours.value), pair.beats: exact(theirs.value)}
        steps.append(values[pair.row] - values[pair.beats])
        damaged.append("inferred" in (ours.certainty, theirs.certainty))
    if endpoint == "trend":
        contrast = contrasts.endpoint(claim)
        effect = sum((exact(weight) * values[row] for row, weight in contrast.items()), Decimal(0))
    elif endpoint == "mean":
        effect = statistics.mean(steps)
    else:
        effect = min(steps)
        # of equal effects take the damaged one, so that a claim that rests on it is marked
        damaged = [mark for step, mark in zip(steps, damaged, strict=True) if step == effect]
    return Reported(effect, damaged=any(damaged), note="" if effect > 0 else "does not hold")


def _columns(*, pairs: bool = False) -> tuple[Column, ...]:
    """The columns of the claims, or of their pairs, which have no verdict."""
    judged = (
        Column("verdict", Kind.LABEL, "Verdict"),
        Column("smallest_found", Kind.LABEL, "Would have found"),
        Column("lacks", Kind.LABEL, "Undecided for lack of"),
        Column("p", Kind.LABEL),
        Column("holm_p", Kind.LABEL, "Holm's p"),
    )
    return (
        Column("claim", Kind.LABEL),  # people read its sentence
        Column("says", Kind.LABEL, "Claim"),
        *(
            ()
            if pairs
            else (
                Column("family", Kind.LABEL),
                Column("endpoint", Kind.LABEL, "Endpoint"),
                Column("pairs", Kind.LABEL, "Pairs"),
            )
        ),
        Column("pair", Kind.LABEL, "Pair" if pairs else "Weakest pair"),
        Column("effect", Kind.MEAN, "mAP"),
        *(Column(name, Kind.INTERVAL, heading.capitalize()) for name, heading in COVERS.items()),
        *(
            Column(f"{name}_{end.name.lower()}", end, cell=name)
            for name in COVERS
            for end in (Kind.LOW, Kind.HIGH)
        ),
        Column("n_seeds", Kind.SEEDS, "n"),
        Column("n_scenes", Kind.LABEL, "Scenes"),
        *(() if pairs else judged),
        Column("variance", Kind.LABEL, "" if pairs else "Variance over students"),
        Column("NDS", Kind.MEAN, "NDS, descriptive"),
        Column("reported_effect", Kind.REPORTED, "mAP", "effect"),
        Column("reported_holds", Kind.LABEL),
        Column("damaged", Kind.LABEL),
        *(Column(name, Kind.ABOUT) for name in ("level", "margin", "data", "profile", "recipe", "command")),
    )


def _preface(plan: Plan, parts: Sequence[Row]) -> list[str]:
    level, margin = f"{100 * plan.claims.level:g} %", plan.claims.margin
    mains = sum(claim.main for claim in plan.claims.claims)
    scenes = {row.labels["n_scenes"] for row in parts} - {""}
    return [
        *collect.provenance(plan),
        f"Seeds per pair of rows: {span([row.seeds for row in parts])}"
        + (f"; scenes: {', '.join(sorted(scenes))}." if scenes else "; no draws of several scenes."),
        f"Effects in points of mAP; in brackets {level} intervals, named for what they cover. By the rule in "
        "config/claims.yaml the one over other students, other frames decides; one seed decides nothing.",
        f"Holm's correction over the {mains} main claims, and over the {len(plan.claims.claims) - mains} "
        f"further ones; margin ±{rounded(exact(margin))} mAP.",
        "Every pair: the smallest effect of several; the smallest of noisy means tends to be too low.",
        "NDS is descriptive, as are all scores of pairs: no verdict rests on them.",
        "Reported: the poster's own numbers, on nuScenes; they have no interval.",
        f"Made by: {collect.command(plan, plan.shown / f'{NAME}.csv')}",
    ]
