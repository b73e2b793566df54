"""What the plan says of a run before it is trained: its name, what a reader filters it by, its baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dualdistill.config.settings import Reported
from dualdistill.plan.identity import label
from dualdistill.plan.plan import KINDS, Plan, Run

TITLE = ("method", "backbone", "teacher")


@dataclass(frozen=True)
class RunLabels:
    title: str
    facets: dict[str, str]
    baseline: str | None  # the run of the same seed that its gains are taken against
    reported: Mapping[str, Reported]  # by metric


def of_shown_runs(plan: Plan) -> dict[str, RunLabels]:
    """All runs behind the views, by kind, then in the order of variants.yaml."""
    rows = {name: _row(plan, plan.runs[name]) for name in plan.shown_runs()}
    places = {row: place for place, row in enumerate(plan.named)}

    def order(name: str) -> tuple[int, int, int]:
        spec = plan.runs[name].spec
        return KINDS.index(spec.kind), places.get(rows[name] or "", len(places)), spec.seed

    titles, facets = _titles(plan, rows), _facets(plan, rows)
    return {
        name: RunLabels(titles[name], facets[name], _baseline(plan, plan.runs[name]), _reported(plan, name))
        for name in sorted(rows, key=order)
    }


def _row(plan: Plan, run: Run) -> str | None:
    """The first row of variants.yaml that is this run; None of one that others bring along."""
    return next((row for row in plan.named if row in run.rows), None)


def _titles(plan: Plan, rows: Mapping[str, str | None]) -> dict[str, str]:
    """What a run is, in words; its row too where an earlier row is the same in these words."""
    words = {
        row: " \N{MIDDLE DOT} ".join(filter(None, map(named.get, TITLE))) for row, named in plan.named.items()
    }
    first: dict[str, str] = {}
    for row, text in words.items():
        first.setdefault(text, row)
    titles = {}
    for name, own in rows.items():
        spec = plan.runs[name].spec
        title = words[own] if own else label(spec)
        if own and first[title] != own:
            title = f"{title} ({own})"
        titles[name] = f"{title}, seed\N{NO-BREAK SPACE}{spec.seed}"
    taken = Counter(titles.values())
    return {name: f"{title} ({name})" if taken[title] > 1 else title for name, title in titles.items()}


def _facets(plan: Plan, rows: dict[str, str | None]) -> dict[str, dict[str, str]]:
    """What a reader filters a run by; one without a row has what the rows that rest on it share."""
    found: dict[str, dict[str, str]] = {}
    for name in reversed(rows):  # what rests on others comes after them
        row = rows[name]
        if row:
            found[name] = {facet: word for facet, word in plan.named[row].items() if word}
        else:
            resting = [other for other in found if name in _needs(plan.runs[other])]
            told = [other for other in resting if rows[other]] or resting
            found[name] = _shared(found[other] for other in told)
    return found


def _needs(run: Run) -> tuple[str | None, ...]:
    return run.teacher, run.pretraining, run.label_encoder


def _shared(several: Iterable[Mapping[str, str]]) -> dict[str, str]:
    first, *others = several
    return {key: word for key, word in first.items() if all(other.get(key) == word for other in others)}


def _baseline(plan: Plan, run: Run) -> str | None:
    """The student without a method where a table compares the run with it, or else what a table does.

    A run without a method is no change of another one, also where a table takes its loss by a difference.
    """
    if run.spec.distill is None:
        return None
    found = []
    for table in plan.tables.values():
        lines = {row.row: row for row in table.rows}
        for row in table.rows:
            if run.id in row.runs and row.baseline:
                found.append(lines[row.baseline].runs[row.runs.index(run.id)])
    return min(found, key=lambda name: plan.runs[name].spec.distill is not None, default=None)


def _reported(plan: Plan, name: str) -> Mapping[str, Reported]:
    """The poster's numbers, from the first table that has them."""
    rows = (row for table in plan.tables.values() for row in table.rows)
    return next((row.reported for row in rows if name in row.runs and row.reported), {})
