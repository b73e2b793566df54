"""The training objective: learner and method in one module, the frozen teachers beside it.

Built in a fixed order so that shared modules get the same initial weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from dualdistill import models
from dualdistill.config import method_options
from dualdistill.config.run_spec import ClassifierSpec, LabelEncoderSpec, RunSpec, StudentSpec
from dualdistill.data.batch import Batch, Output
from dualdistill.distill.base import Distiller
from dualdistill.distill.inputs import FeaturePair, Shape, TeacherFrames
from dualdistill.errors import UserError
from dualdistill.seeding import seed_everything, seed_for
from dualdistill.store.records import WEIGHTS, read_run
from dualdistill.training import initial_weights
from dualdistill.training.checkpoint import load_weights
from dualdistill.training.teachers import Teachers

Learner = models.Detector | models.Classifier | models.LabelEncoder


class Objective(nn.Module):
    """Everything that is optimised, in one module, so that DDP and autocast see one forward pass."""

    def __init__(self, learner: Learner, method: Distiller | None = None) -> None:
        super().__init__()
        self.learner = learner
        self.method = method

    def forward(self, batch: Any, teachers: Teachers | None, progress: float) -> dict[str, Tensor]:
        """The losses by name; `progress` is the share of the training done."""
        assert not isinstance(self.learner, models.LabelEncoder)  # it has LabelEncoderObjective
        output = self.learner(batch)
        losses = self.learner.losses(output, batch)
        if self.method is None or teachers is None:
            return losses
        assert isinstance(self.learner, models.Student)  # only students are distilled
        frames = teachers(batch, self.method)
        return losses | self.method(feature_pair(self.learner, output, frames, batch, progress))


def feature_pair(
    student: models.Student, output: Output, frames: TeacherFrames, batch: Batch, progress: float
) -> FeaturePair:
    """The input of a method: one batch as both detectors see it."""
    assert output.image_BNChw is not None
    return FeaturePair(
        **vars(frames),
        student_BCHW=output.taps_BCHW,
        student_predictions=output.predictions,
        image_BNChw=output.image_BNChw,
        instances=batch.instances,
        history_s_B=batch.history_s_B,
        depth=student.image_depth(output, batch),
        progress=progress,
    )


class LabelEncoderObjective(Objective):
    """The detection loss of the teacher's frozen neck and head on a label encoder's maps."""

    def forward(self, batch: Batch, teachers: Teachers | None, progress: float) -> dict[str, Tensor]:
        assert teachers is not None
        assert isinstance(self.learner, models.LabelEncoder)
        predictions = teachers.lidar.read(self.learner(batch)).predictions
        weight = self.learner.spec.velocity_weight
        return teachers.lidar.head.loss(predictions, batch.boxes_K9, batch.labels_K, weight)


@dataclass(frozen=True)
class Upstream:
    """Results of earlier runs that a run builds on; None where it needs none."""

    teacher_dir: Path | None = None
    start_file: Path | None = None  # initial weights of the learner
    label_encoder_dir: Path | None = None


@dataclass(frozen=True)
class Networks:
    """All networks of a training before its first step."""

    objective: Objective
    teachers: Teachers | None  # not part of the optimised module
    start: dict[str, Any]  # origin of the learner's initial weights, for run.json


def build_networks(spec: RunSpec, upstream: Upstream) -> Networks:
    """The run's networks with their initial weights."""
    if isinstance(spec.model, LabelEncoderSpec):
        return _label_encoder_networks(spec, spec.model, upstream.teacher_dir)
    seed_everything(seed_for(spec.seed, "init", spec.kind))
    if isinstance(spec.model, ClassifierSpec):
        classifier = models.Classifier(spec.model)
        seed_everything(seed_for(spec.seed, "train"))
        return Networks(Objective(classifier), None, {"from": "random"})
    detector, start = models.build(spec), {"from": "random"}
    if isinstance(spec.model, StudentSpec) and isinstance(detector, models.Student):
        # draws no random number: the rest of the student equals that of students with another start
        start = initial_weights.fill_student(detector, spec.model, upstream.start_file)
    elif upstream.start_file is not None:
        start = initial_weights.fill_all(detector, upstream.start_file)
    if spec.distill is None or spec.teacher is None:
        seed_everything(seed_for(spec.seed, "train"))
        return Networks(Objective(detector), None, start)
    # a separate seed: the method's weights must not shift the student's
    seed_everything(seed_for(spec.seed, "init", "method"))
    method: Distiller = method_options.load(spec.distill.method)(**spec.distill.options)
    assert isinstance(detector, models.Student)
    method.bind(student_shapes(spec, detector), models.build(spec.teacher).tap_shapes())
    seed_everything(seed_for(spec.seed, "train"))
    teacher = _load_teacher(spec.teacher, upstream.teacher_dir)
    encoder = None
    if spec.label_encoder:
        encoder = _load_label_encoder(spec.label_encoder, teacher, upstream.label_encoder_dir)
    if start["from"] != "weights":  # a student that starts whole keeps its head
        method.prepare(detector.head, teacher.head)
    teachers = Teachers(teacher, encoder, frame_by_frame=not spec.input.moves_frames)
    return Networks(Objective(detector, method), teachers, start)


def student_shapes(spec: RunSpec, student: models.Student) -> dict[str, Shape]:
    """Shapes of the student's taps and of its image map."""
    return student.tap_shapes() | {"image": student.image_shape(spec.input)}


def _label_encoder_networks(spec: RunSpec, model: LabelEncoderSpec, teacher_dir: Path | None) -> Networks:
    assert spec.teacher is not None  # its frozen neck and head give the loss
    teacher = _load_teacher(spec.teacher, teacher_dir)
    seed_everything(seed_for(spec.seed, "init", spec.kind))
    encoder = models.LabelEncoder(model, spec.grid, teacher.tap_shapes())
    seed_everything(seed_for(spec.seed, "train"))
    return Networks(LabelEncoderObjective(encoder), Teachers(teacher), {"from": "random"})


def _load_teacher(spec: RunSpec, folder: Path | None) -> models.Teacher:
    if folder is None:
        raise UserError("a distilled run needs its teacher's folder", hint="train the teacher first")
    teacher = models.build(spec)
    assert isinstance(teacher, models.Teacher)
    load_weights(folder / WEIGHTS, teacher, read_run(folder)["outputs"][WEIGHTS])
    return teacher


def _load_label_encoder(spec: RunSpec, teacher: models.Teacher, folder: Path | None) -> models.LabelEncoder:
    if folder is None:
        raise UserError("the method needs its label encoder's folder", hint="train the label encoder first")
    assert isinstance(spec.model, LabelEncoderSpec)
    encoder = models.LabelEncoder(spec.model, spec.grid, teacher.tap_shapes())
    load_weights(folder / WEIGHTS, encoder, read_run(folder)["outputs"][WEIGHTS])
    return encoder
