"""Readable names of runs: their rows in variants.yaml instead of ten digits of a hash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from dualdistill.plan.identity import DIGITS, label
from dualdistill.plan.plan import Run


def names(runs: Mapping[str, Run]) -> dict[str, str]:
    """A name for every run id, with all rows that resolve to that run.

    The seed is added where several runs share a name, and the digits of the id where seeds do not tell them
    apart; a run without a row, such as a pre-training, is named by its label.
    """
    rows = {run.id: " = ".join(run.rows) or label(run.spec) for run in runs.values()}
    alike = Counter(rows.values())
    seeded = {
        run: name if alike[name] == 1 else f"{name}, seed {runs[run].spec.seed}" for run, name in rows.items()
    }
    alike = Counter(seeded.values())
    return {run: name if alike[name] == 1 else f"{name} ({run[-DIGITS:]})" for run, name in seeded.items()}
