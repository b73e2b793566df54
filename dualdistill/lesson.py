"""What a run trains, as one module, made in the order that its seeds were drawn for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dualdistill import models, registry, start
from dualdistill.checkpoint import load_weights
from dualdistill.determinism import seed_everything, seed_for
from dualdistill.distill.base import Distiller, FeaturePair, Shape
from dualdistill.errors import UserError
from dualdistill.spec import ClassifierSpec, RunSpec, StudentSpec
from dualdistill.storage import read_json


class Lesson(nn.Module):
    """Everything that is optimised, as one module, so that DDP and autocast see one forward pass."""

    def __init__(self, learner: models.Detector | models.Classifier, method: Distiller | None) -> None:
        super().__init__()
        self.learner = learner
        self.method = method

    def forward(self, batch: Any, teacher: models.Detector | None) -> dict[str, Tensor]:
        """The losses by name; the batch is of the kind that the learner's feed gives."""
        output = self.learner(batch)
        losses = self.learner.losses(output, batch)
        if self.method is None or teacher is None:
            return losses
        assert isinstance(self.learner, models.Student)  # nothing else has a method
        with torch.no_grad():
            taught = teacher(batch)
        assert output.image_BNChw is not None
        assert taught.occupied_BYX is not None
        pair = FeaturePair(
            student_BCHW=output.taps_BCHW,
            teacher_BCHW=taught.taps_BCHW,
            student_predictions=output.predictions,
            teacher_predictions=taught.predictions,
            image_BNChw=output.image_BNChw,
            instances=batch.instances,
            occupied_BYX=taught.occupied_BYX,
            boxes_K9=batch.boxes_K9,
            labels_K=batch.labels_K,
            history_s_B=batch.history_s_B,
            depth=self.learner.image_depth(output, batch),
            grid=teacher.grid,
            teacher_head=teacher.head,
        )
        return losses | self.method(pair)


@dataclass(frozen=True)
class Setting:
    """A lesson before its first step, with what surrounds it."""

    lesson: Lesson
    teacher: models.Detector | None  # frozen, and outside of the optimised module
    start: dict[str, Any]  # where the learner's first weights came from, for run.json


def prepare(spec: RunSpec, teacher_dir: Path | None, start_file: Path | None) -> Setting:
    """The run's modules with their first weights."""
    seed_everything(seed_for(spec.seed, "init", spec.kind))
    if isinstance(spec.model, ClassifierSpec):
        classifier = models.Classifier(spec.model)
        seed_everything(seed_for(spec.seed, "train"))
        return Setting(Lesson(classifier, None), None, {"from": "random"})
    detector, started = models.build(spec), {"from": "random"}
    if isinstance(spec.model, StudentSpec) and isinstance(detector, models.Student):
        # draws no number: the rest of the student stays paired with students of another start
        started = start.load(spec.model, start_file, detector.image_encoder.backbone)
    if spec.distill is None or spec.teacher is None:
        seed_everything(seed_for(spec.seed, "train"))
        return Setting(Lesson(detector, None), None, started)
    # a seed of its own: the method's weights must not shift the student's
    seed_everything(seed_for(spec.seed, "init", "method"))
    method: Distiller = registry.load(spec.distill.method)(**spec.distill.options)
    method.bind(student_shapes(spec, detector), models.build(spec.teacher).tap_shapes())
    seed_everything(seed_for(spec.seed, "train"))
    teacher = _frozen_teacher(spec.teacher, teacher_dir)
    method.prepare(detector.head, teacher.head)
    return Setting(Lesson(detector, method), teacher, started)


def student_shapes(spec: RunSpec, student: models.Detector) -> dict[str, Shape]:
    """Of the student's taps, and of its map of an image, whose size the input decides."""
    assert isinstance(spec.model, StudentSpec)
    stride, size = spec.model.feature_stride, spec.input
    image = (spec.model.neck_channels, size.image_height // stride, size.image_width // stride)
    return student.tap_shapes() | {"image": image}


def _frozen_teacher(spec: RunSpec, folder: Path | None) -> models.Detector:
    if folder is None:
        raise UserError("a distilled run needs its teacher's folder", hint="train the teacher first")
    teacher = models.build(spec)
    record = read_json(folder / "run.json")
    load_weights(folder / "model.safetensors", teacher, record["outputs"]["model.safetensors"])
    return teacher.requires_grad_(False).eval()
