"""A trained run on dev scenes that differ from its own world in one knob: what each knob does to it.

Nothing is trained. Worlds lie in results/knobs/<knob>-<value>/ and are drawn once for all runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from dualdistill import evaluate, models, predict, world
from dualdistill.checkpoint import load_weights
from dualdistill.data import index
from dualdistill.data.dataset import FrameDataset
from dualdistill.document import nearest
from dualdistill.errors import UserError
from dualdistill.plan import Plan, Run
from dualdistill.records import RESULTS, WEIGHTS, read_run
from dualdistill.validate import FLAGS
from dualdistill.world_spec import WorldSpec

KNOBS = {item.name: item.type for item in fields(WorldSpec) if not item.name.endswith("_scenes")}
CASTS = {"int": int, "float": float}


def lines(plan: Plan, run: Run, texts: list[str]) -> Iterator[str]:
    """A heading, the run on its own dev scenes, and a line per knob=value as it comes."""
    if plan.data.world is None:
        raise UserError(f"profile '{plan.settings.profile}' reads a real data set: it has no knobs")
    if run.spec.virtual:
        what = f"'{run.id}' is given virtual points"
        raise UserError(what, hint="ask for a run that reads the sensors alone")
    settings = [_setting(text) for text in texts]
    read_run(plan.folder(run))
    yield f"{'world':26}  {'mAP':>5}  {'NDS':>5}  {'boxes':>5}"
    yield _line("as trained", _score(plan, run, plan.paths.root, plan.paths.index, plan.results / "knobs"))
    for knob, value in settings:
        folder = plan.results / "knobs" / f"{knob}-{value}"
        drawn = replace(plan.data.world, train_scenes=0, val_scenes=0, pretrain_scenes=0, **{knob: value})
        world.make(drawn, folder / "root", plan.settings.workers)
        named = {"dev": plan.data.dev_split}
        index.build(folder / "root", plan.data.version, named, folder / "index.npz")
        scores = _score(plan, run, folder / "root", folder / "index.npz", folder)
        yield _line(f"{knob} {value}", scores)


def _setting(text: str) -> tuple[str, Any]:
    knob, sign, value = text.partition("=")
    if knob not in KNOBS:
        raise UserError(f"the world has no knob '{knob}'", hint=nearest(knob, KNOBS))
    try:
        return knob, CASTS[str(KNOBS[knob])](value)
    except ValueError as error:
        what = f"'{text}' gives {knob} no {'whole ' if KNOBS[knob] == 'int' else ''}number"
        raise UserError(what, hint=f"{knob}=VALUE" if not sign else "") from error


def _score(plan: Plan, run: Run, root: Path, index_file: Path, folder: Path) -> dict[str, Any]:
    """Predict and score the dev scenes of a root with the run's weights."""
    spec, split, out = run.spec, plan.data.dev_split, folder / run.id
    weights = read_run(plan.folder(run))["outputs"][WEIGHTS]
    detector = models.build(spec)
    load_weights(plan.folder(run) / WEIGHTS, detector, weights)
    there = index.Index.load(index_file)
    camera, lidar = detector.needs_images, detector.needs_points
    frames = FrameDataset(there, root, None, split, spec, train=False, images=camera, points=lidar)
    meta = dict.fromkeys(FLAGS, False) | {"use_camera": camera, "use_lidar": lidar}
    predict.predict(detector, frames, predict.lidar_poses(there, split), meta, out / RESULTS)
    return evaluate.evaluate(out / RESULTS, root, plan.data.version, split, out, spec_sha=spec.sha)


def _line(name: str, scores: dict[str, Any]) -> str:
    boxes = sum(scores["ground_truth_boxes"].values())
    return f"{name:26}  {100 * scores['mean_ap']:5.1f}  {100 * scores['nd_score']:5.1f}  {boxes:5}"
