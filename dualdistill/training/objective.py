"""What a run trains, as one module, made in the order that its seeds were drawn for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dualdistill import models
from dualdistill.config import method_options
from dualdistill.config.run_spec import ClassifierSpec, DetectorSpec, LabelEncoderSpec, RunSpec, StudentSpec
from dualdistill.data.batch import Batch, Output
from dualdistill.distill.base import Distiller
from dualdistill.distill.inputs import FeaturePair, Shape
from dualdistill.errors import UserError
from dualdistill.models.bevdepth.student import require
from dualdistill.models.cell_classifier import CellClassifier, cell_labels
from dualdistill.seeding import seed_everything, seed_for
from dualdistill.store.records import WEIGHTS, read_run
from dualdistill.training import initial_weights
from dualdistill.training.checkpoint import load_weights

Learner = models.Detector | models.Classifier | models.LabelEncoder


class Teachers(nn.Module):
    """The frozen networks that a run learns from: a LiDAR detector, and if asked an encoder of labels."""

    def __init__(self, detector: models.Teacher, label_encoder: models.LabelEncoder | None = None) -> None:
        super().__init__()
        self.detector, self.label_encoder = detector, label_encoder
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, batch: Batch) -> tuple[Output, dict[str, Tensor]]:
        return self.detector(batch), self.label_encoder(batch) if self.label_encoder else {}


class Lesson(nn.Module):
    """Everything that is optimised, as one module, so that DDP and autocast see one forward pass."""

    def __init__(self, learner: Learner, method: Distiller | None = None) -> None:
        super().__init__()
        self.learner = learner
        self.method = method

    def forward(self, batch: Any, teachers: Teachers | None) -> dict[str, Tensor]:
        """The losses by name; the batch is of the kind that the learner's feed gives."""
        assert not isinstance(self.learner, models.LabelEncoder)  # whose lesson is the next class
        output = self.learner(batch)
        losses = self.learner.losses(output, batch)
        if self.method is None or teachers is None:
            return losses
        assert isinstance(self.learner, models.Student)  # nothing else has a method
        return losses | self.method(compared(self.learner, output, teachers, batch))


def compared(student: models.Student, output: Output, teachers: Teachers, batch: Batch) -> FeaturePair:
    """What a method sees of both sides."""
    taught, labels_BCHW = teachers(batch)
    assert output.image_BNChw is not None
    assert taught.occupied_BYX is not None
    return FeaturePair(
        student_BCHW=output.taps_BCHW,
        teacher_BCHW=taught.taps_BCHW,
        label_BCHW=labels_BCHW,
        student_predictions=output.predictions,
        teacher_predictions=taught.predictions,
        image_BNChw=output.image_BNChw,
        instances=batch.instances,
        occupied_BYX=taught.occupied_BYX,
        boxes_K9=batch.boxes_K9,
        labels_K=batch.labels_K,
        history_s_B=batch.history_s_B,
        depth=student.image_depth(output, batch),
        grid=teachers.detector.grid,
        teacher_head=teachers.detector.head,
    )


class NamingLesson(Lesson):
    """A student without a teacher that also names what its image map shows."""

    def __init__(self, student: models.Student, weight: float) -> None:
        super().__init__(student)
        self.naming, self.weight = CellClassifier(student.spec.neck_channels), weight

    def forward(self, batch: Batch, teachers: Teachers | None) -> dict[str, Tensor]:
        assert isinstance(self.learner, models.Student)
        output = self.learner(batch)
        owner_BNhw = require(batch.owner_BNhw, "owner_BNhw")
        named_BNhw = cell_labels(owner_BNhw, batch.labels_K)
        hit_BNhw = require(batch.depth_BNhw, "depth_BNhw") > 0
        naming = self.naming(require(output.image_BNChw, "image_BNChw"), named_BNhw, hit_BNhw)
        return self.learner.losses(output, batch) | {"naming": self.weight * naming}


class LabelLesson(Lesson):
    """A label encoder's maps, judged by the neck and head that shall find the boxes in them."""

    def forward(self, batch: Batch, teachers: Teachers | None) -> dict[str, Tensor]:
        assert teachers is not None
        judge = teachers.detector
        return judge.losses(judge.read(self.learner(batch)), batch)


@dataclass(frozen=True)
class Setting:
    """A lesson before its first step, with what surrounds it."""

    lesson: Lesson
    teachers: Teachers | None  # outside of the optimised module
    start: dict[str, Any]  # where the learner's first weights came from, for run.json


def prepare(
    spec: RunSpec, teacher_dir: Path | None, start_file: Path | None, label_dir: Path | None = None
) -> Setting:
    """The run's modules with their first weights."""
    if isinstance(spec.model, LabelEncoderSpec):
        return _label_setting(spec, spec.model, teacher_dir)
    seed_everything(seed_for(spec.seed, "init", spec.kind))
    if isinstance(spec.model, ClassifierSpec):
        classifier = models.Classifier(spec.model)
        seed_everything(seed_for(spec.seed, "train"))
        return Setting(Lesson(classifier), None, {"from": "random"})
    detector, started = models.build(spec), {"from": "random"}
    if isinstance(spec.model, StudentSpec) and isinstance(detector, models.Student):
        # draws no number: the rest of the student stays paired with students of another start
        started = initial_weights.load(spec.model, start_file, detector)
    elif start_file is not None:
        started = initial_weights.copy(start_file, detector)
    if spec.distill is None or spec.teacher is None:
        lesson = Lesson(detector)
        if isinstance(spec.model, DetectorSpec) and isinstance(detector, models.Student):
            lesson = NamingLesson(detector, spec.model.naming_weight)
        seed_everything(seed_for(spec.seed, "train"))
        return Setting(lesson, None, started)
    # a seed of its own: the method's weights must not shift the student's
    seed_everything(seed_for(spec.seed, "init", "method"))
    method: Distiller = method_options.load(spec.distill.method)(**spec.distill.options)
    method.bind(student_shapes(spec, detector), models.build(spec.teacher).tap_shapes())
    seed_everything(seed_for(spec.seed, "train"))
    teacher = _trained_teacher(spec.teacher, teacher_dir)
    encoder = _trained_encoder(spec.label_encoder, teacher, label_dir) if spec.label_encoder else None
    method.prepare(detector.head, teacher.head)
    return Setting(Lesson(detector, method), Teachers(teacher, encoder), started)


def student_shapes(spec: RunSpec, student: models.Detector) -> dict[str, Shape]:
    """Of the student's taps, and of its map of an image, whose size the input decides."""
    assert isinstance(spec.model, StudentSpec)
    stride, size = spec.model.feature_stride, spec.input
    image = (spec.model.neck_channels, size.image_height // stride, size.image_width // stride)
    return student.tap_shapes() | {"image": image}


def _label_setting(spec: RunSpec, model: LabelEncoderSpec, teacher_dir: Path | None) -> Setting:
    assert spec.teacher is not None  # without one there is nobody whose terms could be learned
    teacher = _trained_teacher(spec.teacher, teacher_dir)
    seed_everything(seed_for(spec.seed, "init", spec.kind))
    encoder = models.LabelEncoder(model, spec.grid, teacher.tap_shapes())
    seed_everything(seed_for(spec.seed, "train"))
    return Setting(LabelLesson(encoder), Teachers(teacher), {"from": "random"})


def _trained_teacher(spec: RunSpec, folder: Path | None) -> models.Teacher:
    if folder is None:
        raise UserError("a distilled run needs its teacher's folder", hint="train the teacher first")
    teacher = models.build(spec)
    assert isinstance(teacher, models.Teacher)
    load_weights(folder / WEIGHTS, teacher, read_run(folder)["outputs"][WEIGHTS])
    return teacher


def _trained_encoder(spec: RunSpec, teacher: models.Teacher, folder: Path | None) -> models.LabelEncoder:
    if folder is None:
        raise UserError("the method needs its label encoder's folder", hint="train the label encoder first")
    assert isinstance(spec.model, LabelEncoderSpec)
    encoder = models.LabelEncoder(spec.model, spec.grid, teacher.tap_shapes())
    load_weights(folder / WEIGHTS, encoder, read_run(folder)["outputs"][WEIGHTS])
    return encoder
