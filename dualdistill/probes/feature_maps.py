"""What a distilled student and its teacher hold at one key frame: the maps of MFD and of the alignment.

The method's own weights are kept in the last checkpoint of the training only; no test needs them.
Axes: B batch (one frame), C channels, H W BEV rows (y) and columns (x), K boxes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dualdistill import models
from dualdistill.data.dataset import FrameDataset, collate
from dualdistill.data.index import Index
from dualdistill.distill.inputs import LEVELS, FeaturePair
from dualdistill.distill.terms.attention import spatial_attention
from dualdistill.distill.terms.mfd import MFD
from dualdistill.errors import CheckpointError, UserError
from dualdistill.plan.figures import FigureView
from dualdistill.plan.plan import Plan, Run
from dualdistill.probes import key_frame
from dualdistill.probes.key_frame import Arrays
from dualdistill.store.records import WEIGHTS, read_run
from dualdistill.training import objective as lessons
from dualdistill.training.checkpoint import load_state, load_weights


@dataclass(frozen=True)
class Seen:
    """Both networks' maps, and what the student's method made of the student's."""

    pair: FeaturePair
    aligned_BCHW: dict[str, Tensor]
    method: Any


def attention(plan: Plan, view: FigureView) -> Arrays:
    """MFD's scales and attentions at one level."""
    seen, tap = _look(plan, view), view.options["tap"]
    mfd = getattr(seen.method, "mfd", None)
    if not isinstance(mfd, MFD):
        raise UserError(
            f"figure '{view.name}' needs a student that imitates maps by region", hint="another row"
        )
    student_BCHW, teacher_BCHW = seen.aligned_BCHW[tap], seen.pair.teacher_BCHW[dict(LEVELS)[tap]]
    region = mfd.regions(tap, seen.pair, (teacher_BCHW.shape[2], teacher_BCHW.shape[3]))
    maps_BHW = {
        "fg": region.fg_BHW,
        "fp": region.fp_BHW,
        "tn": region.tn_BHW,
        "teacher": spatial_attention(teacher_BCHW, mfd.tau),
        "student": spatial_attention(student_BCHW, mfd.tau),
        "used": mfd.attention(student_BCHW, teacher_BCHW),
    }
    return {name: map_BHW[0].numpy() for name, map_BHW in maps_BHW.items()} | _around(seen.pair)


def alignment(plan: Plan, view: FigureView) -> Arrays:
    """Strength of the student's maps before and after the alignment, and of the teacher's, level by level."""
    seen = _look(plan, view)
    found: Arrays = {}
    for tap, teacher_tap in LEVELS:
        if tap in seen.aligned_BCHW:
            found[f"{tap}_before"] = _strength(seen.pair.student_BCHW[tap])
            found[f"{tap}_after"] = _strength(seen.aligned_BCHW[tap])
            found[f"{tap}_teacher"] = _strength(seen.pair.teacher_BCHW[teacher_tap])
    return found | _around(seen.pair)


def restore(plan: Plan, run: Run, lesson: lessons.Lesson) -> None:
    """Student and method as the training left them."""
    folder = plan.folder(run)
    saved = load_state(folder / "state", run.spec.sha)
    if saved is None:
        raise CheckpointError(
            "the last checkpoint is gone, and with it the weights of the method",
            where=str(folder / "state"),
            hint="delete the run's run.json to train it again, or show another row",
        )
    lesson.load_state_dict(saved["lesson"])
    # the checkpoint may be of an unfinished training, or before the moving average
    load_weights(folder / WEIGHTS, lesson.learner, read_run(folder)["outputs"][WEIGHTS])


def frames_of(plan: Plan, run: Run, *, images: bool, points: bool) -> FrameDataset:
    """The split that is shown as a run's networks see it, without augmentation."""
    index, split, data = Index.load(plan.paths.index), plan.scored_split, plan.paths
    where = (index, data.root, data.cache, split, run.spec)
    return FrameDataset(*where, train=False, images=images, points=points, virtual=data.virtual(run.spec))


def _look(plan: Plan, view: FigureView) -> Seen:
    """The view's student at the view's frame, both networks as in a test."""
    run = plan.runs[view.runs[0]]
    needs = (plan.teacher_folder(run), plan.start_file(run), plan.label_encoder_folder(run))
    setting = lessons.prepare(run.spec, *needs)
    lesson, teachers = setting.lesson.eval(), setting.teachers
    student, adapters = lesson.learner, getattr(lesson.method, "adapters", None)
    if adapters is None or teachers is None or not isinstance(student, models.Student):
        raise UserError(f"figure '{view.name}' needs a student that aligns its maps", hint="another row")
    restore(plan, run, lesson)
    frames = frames_of(plan, run, images=True, points=True)
    batch = collate([frames.get(key_frame.position(frames.index, plan.scored_split, view))])
    output = student(batch)
    # a test frame comes without depth, and no map that is drawn here reads one
    assert output.depth_logits_BNDhw is not None
    none_BNhw = torch.zeros_like(output.depth_logits_BNDhw[:, :, 0])
    batch = replace(batch, depth_BNhw=none_BNhw, owner_BNhw=none_BNhw.long())
    pair = lessons.compared(student, output, teachers, batch).sealed()
    aligned_BCHW = {tap: adapter(pair.student_BCHW[tap]) for tap, adapter in adapters.items()}
    return Seen(pair, aligned_BCHW, lesson.method)


def _strength(feature_BCHW: Tensor) -> NDArray[np.float32]:
    """mean_c |F|, which is what attention reads."""
    return np.asarray(feature_BCHW[0].abs().mean(dim=0).numpy())


def _around(pair: FeaturePair) -> Arrays:
    return {"truth_K9": pair.boxes_K9[0].numpy(), "half_extent_m": np.array(pair.grid.half_extent_m)}
