"""Robustness: a trained run scored on dev scenes whose world differs from the training world in one knob.

Nothing is trained. Worlds lie in results/knobs/<knob>-<value>/ and are rendered once for all runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from dualdistill.config.validation import check
from dualdistill.config.world import WorldSpec
from dualdistill.config.yaml import Document, nearest, parse
from dualdistill.data import index_build
from dualdistill.errors import UserError
from dualdistill.evaluation import evaluate, predict
from dualdistill.plan.plan import DataPaths, Plan, Run
from dualdistill.store.records import RESULTS, read_run
from dualdistill.world.nuscenes.build import build_world

KNOBS = [item.name for item in fields(WorldSpec) if not item.name.endswith("_scenes")]
COMMAND_LINE = "command line"


def lines(plan: Plan, run: Run, texts: list[str]) -> Iterator[str]:
    """A heading, the score on the dev scenes as trained, and a line per knob=value."""
    if plan.data.world is None:
        raise UserError(f"profile '{plan.settings.profile}' reads a real data set: it has no knobs")
    if run.spec.virtual:
        what = f"'{run.id}' needs virtual points, which are not built for these worlds"
        raise UserError(what, hint="choose a run that reads the sensors alone")
    settings = [_setting(text) for text in texts]
    read_run(plan.folder(run))
    yield f"{'world':26}  {'mAP':>5}  {'NDS':>5}  {'boxes':>5}"
    yield _line("as trained", _score(plan, run, plan.paths, plan.results / "knobs"))
    for knob, value in settings:
        folder = plan.results / "knobs" / f"{knob}-{value}"
        world_spec = replace(
            plan.data.world, train_scenes=0, val_scenes=0, pretrain_scenes=0, **{knob: value}
        )
        build_world(world_spec, folder / "root", plan.settings.workers)
        data = DataPaths(folder / "root", folder / "index.npz", cache=None)
        index_build.build(data.root, plan.data.version, {"dev": plan.data.dev_split}, data.index)
        yield _line(f"{knob} {value}", _score(plan, run, data, folder))


def _setting(text: str) -> tuple[str, Any]:
    knob, sign, value = text.partition("=")
    if knob not in KNOBS:
        raise UserError(f"the world has no knob '{knob}'", hint=nearest(knob, KNOBS))
    if not sign or not value:
        raise UserError(f"'{knob}' needs a value", hint=f"{knob}=VALUE")
    given = Document(COMMAND_LINE, {knob: parse(value, COMMAND_LINE).value})
    return knob, getattr(check(given, WorldSpec), knob)


def _score(plan: Plan, run: Run, data: DataPaths, folder: Path) -> dict[str, Any]:
    """Predict and score the dev scenes of a root with a run's weights."""
    out = folder / run.id
    predict.run(run.spec, plan.folder(run), data, "dev", out / RESULTS)
    named, version = plan.data.dev_split, plan.data.version
    return evaluate.evaluate(out / RESULTS, data.root, version, named, out, spec_sha=run.spec.sha)


def _line(name: str, scores: dict[str, Any]) -> str:
    boxes = sum(scores["ground_truth_boxes"].values())
    return f"{name:26}  {100 * scores['mean_ap']:5.1f}  {100 * scores['nd_score']:5.1f}  {boxes:5}"
