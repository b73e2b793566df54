"""Names of runs for people: the rows of variants.yaml that they stand in, instead of ten digits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from dualdistill.plan.identity import DIGITS, label
from dualdistill.plan.plan import Run


def names(runs: Mapping[str, Run]) -> dict[str, str]:
    """A name for every run by its id; rows that resolve to the same run share it.

    It holds the seed where there are several, and the digits of the id where that is not enough. A run that
    no row names, such as a pre-training, goes by its label.
    """
    rows = {run.id: " = ".join(run.rows) or label(run.spec) for run in runs.values()}
    alike = Counter(rows.values())
    seeded = {
        run: name if alike[name] == 1 else f"{name}, seed {runs[run].spec.seed}" for run, name in rows.items()
    }
    alike = Counter(seeded.values())
    return {run: name if alike[name] == 1 else f"{name} ({run[-DIGITS:]})" for run, name in seeded.items()}
