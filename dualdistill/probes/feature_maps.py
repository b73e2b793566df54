"""Feature maps of a distilled student and its teacher at one key frame: MFD's masks and the alignment.

The weights of the method exist only in the last checkpoint of the training, as testing does not need them.
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
from dualdistill.training.checkpoint import load_state, load_weights
from dualdistill.training.objective import Objective, Upstream, build_networks, feature_pair


@dataclass(frozen=True)
class Probed:
    """Feature maps of both networks, and the student's after alignment."""

    pair: FeaturePair
    aligned_BCHW: dict[str, Tensor]
    method: Any


def attention(plan: Plan, view: FigureView) -> Arrays:
    """MFD's scales and attentions at one level."""
    probed, tap = _probe(plan, view), view.options["tap"]
    mfd = getattr(probed.method, "mfd", None)
    if not isinstance(mfd, MFD) or tap not in mfd.taps:
        what = f"figure '{view.name}' needs a student whose method uses MFD at {tap}"
        raise UserError(what, hint="choose another row")
    student_BCHW, teacher_BCHW = probed.aligned_BCHW[tap], probed.pair.teacher_BCHW[dict(LEVELS)[tap]]
    region = mfd.regions(tap, probed.pair, (teacher_BCHW.shape[2], teacher_BCHW.shape[3]))
    maps_BHW = {
        "fg": region.fg_BHW,
        "fp": region.fp_BHW,
        "tn": region.tn_BHW,
        "teacher": spatial_attention(teacher_BCHW, mfd.tau),
        "student": spatial_attention(student_BCHW, mfd.tau),
        "used": mfd.attention(student_BCHW, teacher_BCHW),
    }
    return {name: map_BHW[0].numpy() for name, map_BHW in maps_BHW.items()} | _surroundings(probed.pair)


def alignment(plan: Plan, view: FigureView) -> Arrays:
    """Strength of the student's maps before and after the alignment, and of the teacher's, per level."""
    probed = _probe(plan, view)
    arrays: Arrays = {}
    for tap, teacher_tap in LEVELS:
        if tap in probed.aligned_BCHW:
            arrays[f"{tap}_before"] = _strength(probed.pair.student_BCHW[tap])
            arrays[f"{tap}_after"] = _strength(probed.aligned_BCHW[tap])
            arrays[f"{tap}_teacher"] = _strength(probed.pair.teacher_BCHW[teacher_tap])
    return arrays | _surroundings(probed.pair)


def restore(plan: Plan, run: Run, objective: Objective) -> None:
    """Student and method as the training left them."""
    folder = plan.folder(run)
    saved = load_state(folder / "state", run.spec.sha)
    if saved is None:
        raise CheckpointError(
            "the last checkpoint is gone, and with it the weights of the method",
            where=str(folder / "state"),
            hint="delete the run's run.json to train it again, or show another row",
        )
    objective.load_state_dict(saved["objective"])
    # the checkpoint may be of an unfinished training, or before the moving average
    load_weights(folder / WEIGHTS, objective.learner, read_run(folder)["outputs"][WEIGHTS])


def frames_of(plan: Plan, run: Run, *, images: bool, points: bool) -> FrameDataset:
    """The scored split as input of a run's networks, without augmentation."""
    index, split, data = Index.load(plan.paths.index), plan.scored_split, plan.paths
    where = (index, data.root, data.cache, split, run.spec)
    resized, virtual = data.images(run.spec), data.virtual(run.spec)
    return FrameDataset(*where, train=False, images=images, points=points, resized=resized, virtual=virtual)


def _probe(plan: Plan, view: FigureView) -> Probed:
    """Run the figure's student and its teacher on the figure's frame, in test mode."""
    run = plan.runs[view.runs[0]]
    upstream = Upstream(plan.teacher_folder(run), plan.start_file(run), plan.label_encoder_folder(run))
    networks = build_networks(run.spec, upstream)
    objective, teachers = networks.objective.eval(), networks.teachers
    student, adapters = objective.learner, getattr(objective.method, "adapters", None)
    if adapters is None or teachers is None or not isinstance(student, models.Student):
        raise UserError(f"figure '{view.name}' needs a student that aligns its maps", hint="another row")
    restore(plan, run, objective)
    frames = frames_of(plan, run, images=True, points=True)
    sample = frames.get(key_frame.position(frames.index, plan.scored_split, view))
    batch = collate([sample]).to(torch.device("cpu"))
    output = student(batch)
    # a test frame has no depth targets, and no map drawn here depends on them
    assert output.depth_logits_BNDhw is not None
    none_BNhw = torch.zeros_like(output.depth_logits_BNDhw[:, :, 0])
    batch = replace(batch, depth_BNhw=none_BNhw, owner_BNhw=none_BNhw.long())
    pair = feature_pair(student, output, teachers(batch), batch, progress=1.0).sealed()
    aligned_BCHW = {tap: adapter(pair.student_BCHW[tap]) for tap, adapter in adapters.items()}
    return Probed(pair, aligned_BCHW, objective.method)


def _strength(feature_BCHW: Tensor) -> NDArray[np.float32]:
    """mean_c |F|, the input of the attention."""
    return np.asarray(feature_BCHW[0].abs().mean(dim=0).numpy())


def _surroundings(pair: FeaturePair) -> Arrays:
    return {"truth_K9": pair.boxes_K9[0].numpy(), "half_extent_m": np.array(pair.grid.half_extent_m)}
