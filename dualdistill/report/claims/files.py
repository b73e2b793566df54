"""The claims as CSV files and as one Markdown document."""

from __future__ import annotations

from pathlib import Path

from dualdistill.plan.plan import Plan
from dualdistill.report import renderers
from dualdistill.report.claims.table import COVERS, tables
from dualdistill.report.numbers import rounded
from dualdistill.report.table import DAMAGED, HOW_DAMAGED, Row, Table
from dualdistill.store.files import atomic_write


def write(plan: Plan, stem: Path, *, allow_missing: bool = False) -> None:
    """All claims as .md and .csv, and their pairs, the claims' .csv last."""
    claims, pairs = tables(plan, allow_missing=allow_missing)
    atomic_write(stem.with_name(f"{stem.name}.md"), markdown(claims, pairs))
    atomic_write(stem.with_name(f"{stem.name}_pairs.csv"), renderers.to_csv(pairs))
    atomic_write(stem.with_name(f"{stem.name}.csv"), renderers.to_csv(claims))


def markdown(claims: Table, pairs: Table) -> str:
    """Both tables in one document; a pair of several claims is printed once."""
    preface = "\n".join(f"- {line}" for line in claims.preface)
    covers = [name for name in COVERS if any(name in row.measured for row in (*claims.rows, *pairs.rows))]
    over = [COVERS[name].capitalize() for name in covers]
    judged = [
        (
            row.labels["says"],
            endpoint(row),
            _effect(row),
            *(_interval(row, name) for name in covers),
            str(row.seeds),
            row.labels["holm_p"] or "-",
            verdict(row),
            _effect(row, "NDS"),
            _poster(row),
        )
        for row in claims.rows
    ]
    headings = ("Claim", "Endpoint", "mAP", *over, "n", "Holm's p", "Verdict", "NDS", "Reported")
    single = [
        (
            *(row.labels[key] for key in ("row", "beats")),
            _effect(row),
            *(_interval(row, name) for name in covers),
            _effect(row, "NDS"),
            _poster(row),
        )
        for row in pairs.rows
    ]
    alone = renderers.pipes(("Row", "over", "mAP", *over, "NDS", "Reported"), list(dict.fromkeys(single)))
    note = f"\n{DAMAGED} {HOW_DAMAGED}\n" if pairs.has_damaged else ""
    return (
        f"# {claims.title}\n\n{preface}\n\n{renderers.pipes(headings, judged)}\n\n"
        f"## Pair by pair\n\n{pairs.note}\n\n{alone}\n{note}"
    )


def endpoint(row: Row) -> str:
    """A line's endpoint in words."""
    kind, pairs = row.labels["endpoint"], row.labels["pairs"]
    return f"mean of {pairs} pairs" if kind == "mean" and pairs != "1" else kind


def verdict(row: Row) -> str:
    """The verdict, with what an undecided one lacks or could have found."""
    lacks, smallest = row.labels["lacks"], row.labels["smallest_found"]
    reason = lacks or (f"would have found {smallest}" if smallest else "")
    return f"{row.labels['verdict']} ({reason})" if reason else row.labels["verdict"]


def _effect(row: Row, name: str = "effect") -> str:
    cell = row.measured.get(name)
    return cell.print(cell.score.mean, sign=True) if cell else "-"


def _interval(row: Row, name: str) -> str:
    cell = row.measured.get(name)
    return f"[{', '.join(cell.ends)}]" if cell and cell.ends else "-"


def _poster(row: Row) -> str:
    if "effect" not in row.reported:
        return "-"
    effect = row.reported["effect"]
    mark, note = DAMAGED if effect.damaged else "", f", {effect.note}" if effect.note else ""
    return f"{rounded(effect.value, sign=True)}{mark}{note}"
