"""The scores and scene draws of all compared runs, as the statistics take them."""

from __future__ import annotations

from collections.abc import Mapping

from dualdistill.data.scene_draws import SceneDraws
from dualdistill.errors import DataError
from dualdistill.plan.plan import Plan
from dualdistill.report.claims.estimate import Measured
from dualdistill.report.claims.spread import Array
from dualdistill.report.collect import Evidence
from dualdistill.store.records import DEVKIT_NAMES, SCENE_DRAWS

SAME = 1e-9  # largest difference between the exact evaluation and the devkit's


def measured(plan: Plan, known: Mapping[str, Evidence], metric: str) -> Measured:
    """The scores of all compared rows in points; of mAP, also their draws of scenes."""
    first: dict[tuple[str, ...], str] = {}
    same = {
        row: first.setdefault(tuple(compared.runs.values()), row)
        for row, compared in plan.claims.rows.items()
    }
    rows = {row: plan.claims.rows[row].runs for row in first.values()}
    scores = {
        row: {
            seed: 100 * float(known[run].metrics[DEVKIT_NAMES[metric]])
            for seed, run in runs.items()
            if run in known
        }
        for row, runs in rows.items()
    }
    groups = {row: plan.claims.rows[row].group for row in rows}
    if metric != "mAP":
        return Measured(scores, groups, same=same)
    files = {
        run: _draws(plan, run, known[run]) for runs in rows.values() for run in runs.values() if run in known
    }
    stored = {run: draws for run, draws in files.items() if draws}
    _check_comparable(plan, stored)
    draws: dict[str, dict[int, Array]] = {
        row: {seed: 100 * stored[run].mean_ap_B for seed, run in runs.items() if run in stored}
        for row, runs in rows.items()
    }
    scenes = next((int(file.scenes) for file in stored.values()), 0)
    return Measured(scores, groups, draws, scenes, same)


def _draws(plan: Plan, run: str, known: Evidence) -> SceneDraws | None:
    """A run's draws, checked to belong to its score; None if it was evaluated without them."""
    path = plan.scores(plan.runs[run]) / SCENE_DRAWS
    if not path.exists():
        return None
    draws = SceneDraws.load(path)
    difference = abs(float(draws.mean_ap) - float(known.metrics["mean_ap"]))
    if difference > SAME:
        what = f"its mAP is {float(draws.mean_ap):.4f}, that of metrics.json {known.metrics['mean_ap']:.4f}"
        raise DataError(what, where=str(path), hint="evaluate the run again")
    return draws


def _check_comparable(plan: Plan, stored: Mapping[str, SceneDraws]) -> None:
    """Refuse runs whose draws are not of the same scenes."""
    kinds = {run: draws.draws_sha.item() for run, draws in stored.items()}
    other = next((run for run, kind in kinds.items() if kind != next(iter(kinds.values()))), None)
    if other:
        path = plan.scores(plan.runs[other]) / SCENE_DRAWS
        what = f"its scenes were drawn otherwise than those of {next(iter(kinds))}"
        raise DataError(what, where=str(path), hint="evaluate both runs again")
