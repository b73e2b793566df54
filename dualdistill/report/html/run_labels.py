"""Labels of a run, known before training: title, facets for the filter, baseline, reported numbers."""

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
    """All runs behind tables and claims, by kind, then in the order of variants.yaml."""
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
    """The first row of variants.yaml that is this run; None for a run that only others need."""
    return next((row for row in plan.named if row in run.rows), None)


def _titles(plan: Plan, rows: Mapping[str, str | None]) -> dict[str, str]:
    """Method, backbone, teacher and seed; with its row where an earlier row has the same words."""
    words = {
        row: " \N{MIDDLE DOT} ".join(filter(None, map(named.get, TITLE))) for row, named in plan.named.items()
    }
    first: dict[str, str] = {}
    for named, text in words.items():
        first.setdefault(text, named)
    titles = {}
    for name, row in rows.items():
        spec = plan.runs[name].spec
        title = words[row] if row else label(spec)
        if row and first[title] != row:
            title = f"{title} ({row})"
        titles[name] = f"{title}, seed\N{NO-BREAK SPACE}{spec.seed}"
    taken = Counter(titles.values())
    return {name: f"{title} ({name})" if taken[title] > 1 else title for name, title in titles.items()}


def _facets(plan: Plan, rows: dict[str, str | None]) -> dict[str, dict[str, str]]:
    """The facets of each run; a run without a row has the facets that all rows that need it share."""
    facets: dict[str, dict[str, str]] = {}
    for name in reversed(rows):  # a run comes after those that it needs
        row = rows[name]
        if row:
            facets[name] = {facet: word for facet, word in plan.named[row].items() if word}
        else:
            users = [other for other in facets if name in _needs(plan.runs[other])]
            named = [other for other in users if rows[other]] or users
            facets[name] = _shared(facets[other] for other in named)
    return facets


def _needs(run: Run) -> tuple[str | None, ...]:
    return run.teacher, run.pretraining, run.label_encoder


def _shared(several: Iterable[Mapping[str, str]]) -> dict[str, str]:
    first, *others = several
    return {key: word for key, word in first.items() if all(other.get(key) == word for other in others)}


def _baseline(plan: Plan, run: Run) -> str | None:
    """The student without a method if a table compares the run with it, or else the baseline of a table.

    A run without a method has none, even where a table prints its difference to another row.
    """
    if run.spec.distill is None:
        return None
    baselines = []
    for table in plan.tables.values():
        lines = {row.row: row for row in table.rows}
        for row in table.rows:
            if run.id in row.runs and row.baseline:
                baselines.append(lines[row.baseline].runs[row.runs.index(run.id)])
    return min(baselines, key=lambda name: plan.runs[name].spec.distill is not None, default=None)


def _reported(plan: Plan, name: str) -> Mapping[str, Reported]:
    """The poster's numbers of a run, from the first table that has them."""
    rows = (row for table in plan.tables.values() for row in table.rows)
    return next((row.reported for row in rows if name in row.runs and row.reported), {})
