"""Run trained networks for a figure and save the arrays it draws.

Axes: K boxes; counts are over rankings, temperatures and thresholds.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dualdistill import models
from dualdistill.data.batch import Detections
from dualdistill.data.dataset import collate
from dualdistill.models.center_head import Head
from dualdistill.plan.figures import FigureView, probe_file
from dualdistill.plan.plan import Plan
from dualdistill.probes import feature_maps, key_frame
from dualdistill.probes.key_frame import Arrays
from dualdistill.seeding import pin
from dualdistill.store.files import atomic_write
from dualdistill.store.records import WEIGHTS, read_run
from dualdistill.training.checkpoint import load_weights

log = logging.getLogger(__name__)
STEPS, LAST = 21, 0.5  # thresholds from the figure's to LAST, beside the equivalent of each temperature
Counts = NDArray[np.int64]


def run(plan: Plan, view: FigureView) -> None:
    """Run the networks of a figure and write its probe file."""
    charts = {
        "temperature": temperature,
        "key_frame": key_frame.gather,
        "attention": feature_maps.attention,
        "alignment": feature_maps.alignment,
    }
    pin(plan.threads)
    with torch.no_grad():
        arrays = charts[view.chart](plan, view)
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    out = probe_file(view)
    atomic_write(out, content.getvalue())
    log.info("wrote %s", out)


def temperature(plan: Plan, view: FigureView) -> Arrays:
    """Compare the teacher's boxes at temperatures with its boxes at score thresholds, over the split."""
    run = plan.runs[view.runs[0]]
    teacher = models.build(run.spec).eval()
    load_weights(plan.folder(run) / WEIGHTS, teacher, read_run(plan.folder(run))["outputs"][WEIGHTS])
    frames = feature_maps.frames_of(plan, run, images=False, points=True)
    temperatures, threshold = view.options["temperatures"], view.options["threshold"]
    same_as = [equivalent(temperature, threshold) for temperature in temperatures]
    thresholds = sorted({*np.linspace(threshold, LAST, STEPS).tolist(), *same_as})
    totals: tuple[Counts, ...] = ()
    for position in range(len(frames)):
        predictions = teacher(collate([frames.get(position)])).predictions
        counts = compare(teacher.head, predictions, temperatures, threshold, thresholds)
        totals = tuple(map(np.add, totals, counts)) if totals else counts
        if (position + 1) % 50 == 0:
            log.info("%d of %d frames", position + 1, len(frames))
    return {
        "temperatures": np.array(temperatures),
        "thresholds": np.array(thresholds),
        "same_as": np.array(same_as),
        **dict(zip(("common", "at_temperature", "at_threshold"), totals, strict=True)),
        "frames": np.array(len(frames)),
        "threshold": np.array(threshold),
    }


def equivalent(temperature: float, threshold: float) -> float:
    """The score whose logit, divided by the temperature, gives the threshold: sigmoid(T logit(threshold))."""
    return 1 / (1 + math.exp(-temperature * math.log(threshold / (1 - threshold))))


def compare(
    head: Head,
    predictions: list[dict[str, Tensor]],
    temperatures: Sequence[float],
    threshold: float,
    thresholds: Sequence[float],
) -> tuple[Counts, Counts, Counts]:
    """Boxes of one frame: common ones by ranking, temperature and threshold, and the number on each side."""
    at_threshold = [_boxes(head.decode(predictions, score_threshold=cut)) for cut in thresholds]
    at_temperature = [
        [
            _boxes(head.decode(predictions, temperature=T, score_threshold=threshold, rank_by=ranking))
            for T in temperatures
        ]
        for ranking in ("sharpened", "logit")
    ]
    common = [[[len(a & b) for b in at_threshold] for a in row] for row in at_temperature]
    sizes = [[len(boxes) for boxes in row] for row in at_temperature]
    return np.array(common), np.array(sizes), np.array([len(boxes) for boxes in at_threshold])


def _boxes(detections: list[Detections]) -> set[bytes]:
    """Bytes of the boxes and labels of one frame, without their scores."""
    (frame,) = detections
    rows_K10 = torch.cat([frame.boxes_K9, frame.labels_K[:, None].float()], dim=1).cpu().numpy()
    return {row.tobytes() for row in rows_K10}
