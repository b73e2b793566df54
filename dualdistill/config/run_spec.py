"""Specs: everything that decides the result of a run, as frozen dataclasses that pydantic validates.

Every number of a run is defined here once, with its default and its range; profiles and rows list what
differs. Defaults are published values where there are any. The world's numbers are in world.py, those of a
method in its constructor. A field belongs in a spec exactly when changing it changes the result: file
locations, worker counts and logging do not. Imports no torch: the Snakefile plans with it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import field
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field, StringConstraints
from pydantic.dataclasses import dataclass

from dualdistill.config.nuscenes import CLASSES, TASKS
from dualdistill.config.ranges import (
    STRICT,
    Count,
    Degrees,
    Distinct,
    Interval,
    NotNegative,
    Positive,
    PositiveShare,
    Seed,
    Share,
    ShareBelowOne,
    Triple,
    Weight,
    Whole,
)
from dualdistill.config.world import WorldSpec
from dualdistill.errors import UserError
from dualdistill.store.files import sha_of

DataName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$")]
ImageSide = Annotated[int, Field(ge=32, multiple_of=16)]
ImageWidth = Annotated[int, Field(ge=64)]
RingStep = Annotated[int, Field(ge=1, le=32)]
Stage = Literal["layer1", "layer2", "layer3", "layer4", "depth_net", "bev_encoder", "bev_neck"]
T = TypeVar("T")
PerTask = Annotated[tuple[T, ...], Field(min_length=len(TASKS), max_length=len(TASKS))]  # in their order
PerClass = Annotated[tuple[T, ...], Field(min_length=len(CLASSES), max_length=len(CLASSES))]  # likewise


@dataclasses.dataclass(frozen=True)
class AddedLater:
    """Annotation of a field that was added when runs already existed.

    At its neutral value the field is left out of the hash, so that earlier runs keep their ids; the neutral
    value never changes, even if the default does.
    """

    neutral: Any


@dataclass(frozen=True, config=STRICT)
class DataSpec:
    """A data set in nuScenes' format and its splits."""

    # prefix of its folder, and what tables call it; a recipe may change numbers for it alone
    name: DataName
    version: str  # v1.0-world | v1.0-trainval | v1.0-mini
    train_split: str
    dev_split: str
    val_split: str
    pretrain_split: str | None = None  # None without pre-training
    world: WorldSpec | None = None
    stand_in: bool = False  # a synthetic root under nuScenes' names; found in data_root, never written

    @property
    def synthetic(self) -> bool:
        return self.stand_in or self.world is not None

    @property
    def printed_name(self) -> str:
        """Name of the data set in tables and folders."""
        return f"{self.name}-stand-in" if self.stand_in else self.name

    def splits(self) -> dict[str, str]:
        """Name of each split in the devkit."""
        splits = {"train": self.train_split, "dev": self.dev_split, "val": self.val_split}
        return splits | ({"pretrain": self.pretrain_split} if self.pretrain_split else {})


@dataclass(frozen=True, config=STRICT)
class GridSpec:
    """Square BEV grid shared by teacher and student, centred on LIDAR_TOP."""

    half_extent_m: Positive = 51.2
    cell_m: Positive = 0.8

    @property
    def cells(self) -> int:
        return round(2 * self.half_extent_m / self.cell_m)


@dataclass(frozen=True, config=STRICT)
class InputSpec:
    """Input size and augmentation; the defaults are those of BEVDet's bevdepth4d configurations."""

    image_height: ImageSide = 256
    image_width: ImageSide = 704
    resize_jitter: Interval = (-0.06, 0.11)  # added to width / source width
    resize_test: float = 0.04
    # exact: every pixel decoded, then averaged down | fast: JPEG decoded at a half, quarter or eighth of its
    # size where the network's image is smaller still | a width: from images resized to it once, as JPEG.
    # The last two give slightly other pixels at the same places (docs/nuscenes.md)
    decode: Annotated[Literal["exact", "fast"] | ImageWidth, AddedLater("exact")] = "exact"
    image_flip: bool = True
    image_rotate_deg: Degrees = 5.4
    bev_rotate_deg: Degrees = 22.5
    bev_scale: Interval = (0.95, 1.05)
    bev_flip: bool = True
    sweeps: Count = 10  # LiDAR sweeps, including the key frame
    random_sweeps: bool = True  # in training, take the earlier ones from one more: nine of ten
    history_train_s: Interval = (0.75, 2.25)  # age of the previous camera frame, drawn uniformly
    history_test_s: Positive = 1.5
    # points of the depth targets: those of the LiDAR | with the virtual points that the teacher mvp reads
    depth_points: Literal["lidar", "virtual"] = "lidar"
    # previous frame at a scene's start: the key frame itself (DistillBEV, DualDistill) | the next (TiG-BEV)
    scene_start: Literal["current", "next"] = "current"

    @property
    def moves_frames(self) -> bool:
        """Whether points and boxes of a frame differ from one draw of a training to the next."""
        turns = self.bev_rotate_deg != 0 or self.bev_scale != (1.0, 1.0) or self.bev_flip
        return turns or self.random_sweeps

    @property
    def moves_images(self) -> bool:
        """Likewise its images, or the age of the previous ones."""
        turns = self.resize_jitter != (0.0, 0.0) or self.image_flip or self.image_rotate_deg != 0
        first, last = self.history_train_s
        return turns or first != last


@dataclass(frozen=True, config=STRICT)
class TeacherInputSpec(InputSpec):
    """Input of a LiDAR teacher; degraded to measure how a student depends on its teacher's quality."""

    paste: bool = True  # in training, fill frames up with objects of other frames (data/pasted_objects/)
    every_ring: RingStep = 1  # keep every n-th ring
    range_noise_m: NotNegative = 0.0  # standard deviation along the ray; drawn once per return, not per epoch

    @property
    def degraded(self) -> bool:
        return self.every_ring > 1 or self.range_noise_m > 0


@dataclass(frozen=True, config=STRICT)
class HeadSpec:
    """CenterHead on the BEV map: targets, loss and decoding of mmdet3d, NMS of BEVDet's students."""

    share_channels: Count = 64
    velocity_weight: Weight = 1.0  # code weight of vx and vy
    # run the head in float32 in mixed precision too, where the rest of the network runs under autocast
    float32: bool = True
    score_threshold: Share = 0.1
    # NMS per task: of rotated boxes from an IoU on, or of centres within a distance if that is above 0;
    # mmdet3d's min_radius is the square of this distance
    nms_iou: PerTask[PositiveShare] = (0.2, 0.2, 0.2, 0.2, 0.2, 0.5)  # per task
    circle_nms_m: PerTask[NotNegative] = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0)  # per task; 0: rotated NMS
    # scale of each class's footprint during rotated NMS
    nms_scale: PerClass[Positive] = (1.0, 0.7, 0.7, 0.4, 0.55, 1.0, 1.0, 1.0, 4.5, 9.0)
    max_candidates: Annotated[int, Field(ge=1, le=500)] = 500  # boxes per task before NMS
    max_per_task: Annotated[int, Field(ge=1, le=83)] = 83  # boxes after NMS; 6 x 83 stays within 500


@dataclass(frozen=True, config=STRICT)
class TeacherHeadSpec(HeadSpec):
    """The same head with the velocity weight and NMS of the published CenterPoints."""

    velocity_weight: Weight = 0.2
    nms_iou: PerTask[PositiveShare] = (0.2,) * len(TASKS)
    circle_nms_m: PerTask[NotNegative] = (0.0,) * len(TASKS)
    nms_scale: PerClass[Positive] = (1.0,) * len(CLASSES)


@dataclass(frozen=True, config=STRICT)
class DamageSpec:
    """Errors that make rendered masks as good as a segmenter's (docs/methods/mvp.md)."""

    seed: Whole = 0
    missed: Share = 0.07  # share of the objects missed at any size
    small_px: Positive = 20.0  # of the others, a share exp(-visible pixels / small_px) is missed too
    merged: Share = 0.1  # share of the objects touching another of their class that are merged with it
    confused: Share = 0.07  # share labelled as a similar class
    outline: NotNegative = 0.05  # spread of the outline's displacement / sqrt(mask area)
    shift: NotNegative = 0.04  # spread of the mask's displacement / sqrt(mask area)
    false_masks: NotNegative = 0.5  # per image, on average
    score_noise: NotNegative = 0.15  # spread of a score around the mask's quality


@dataclass(frozen=True, config=STRICT)
class MaskSpec:
    """The source of instance masks."""

    masks: Literal["oracle", "noisy", "file"] = "file"  # rendered | rendered and damaged | from files
    damage: DamageSpec | None = None  # of noisy masks


@dataclass(frozen=True, config=STRICT)
class VirtualSpec(MaskSpec):
    """Virtual points added to a cloud from instance masks, as in MVP (Yin et al., NeurIPS 2021)."""

    per_mask: Count = 50
    max_gap_s: Positive = 0.1  # longest time between a sweep and the image that paints it


@dataclass(frozen=True, config=STRICT)
class StudentSpec:
    """Numbers common to all camera students; a network adds more in a subclass."""

    network: ClassVar[str]  # name of its preset in the profiles

    # initial weights: imagenet is a file; pretrained is a run of this suite, a classifier of crops
    start: Literal["random", "pretrained", "imagenet"] = "imagenet"
    depth: Literal[50, 101] = 50  # layers of the ResNet
    width: Count = 64  # base channels of the ResNet
    feature_stride: Literal[8, 16] = 16  # pixels per cell of the image map, and of the depth targets
    head: HeadSpec = field(default_factory=HeadSpec)


@dataclass(frozen=True, config=STRICT)
class BEVDepthSpec(StudentSpec):
    """BEVDepth4D of the BEVDet code base; smaller presets differ by numbers only."""

    network: ClassVar[str] = "bevdepth"

    neck_channels: Count = 512
    depth_channels: Count = 256
    depth_deformable: bool = True  # DCNv2 and BN before the depth logits
    context_channels: Count = 64
    depth_bins_m: tuple[Positive, Positive, Positive] = (1.0, 60.0, 1.0)  # from, to, step
    # bevdet: sigmoid BCE, mean over all cells | megvii: softmax BCE, mean over cells with a LiDAR return
    depth_loss: Literal["bevdet", "megvii"] = "bevdet"
    depth_weight: Weight = 100.0
    bev_channels: Triple = (128, 256, 512)
    bev_out_channels: Count = 256
    # conventions of the lift and the alignment in time: exact | as in the released code, for its checkpoints
    geometry: Literal["exact", "released"] = "exact"
    extra_norm: bool = True  # BN + ReLU after the BEV neck, in baseline and distilled students alike
    # stages whose activations are computed again in the backward pass: saves memory, costs time
    activation_checkpoint: Distinct[Stage] = ()


@dataclass(frozen=True, config=STRICT)
class TeacherSpec:
    """CenterPoint on dynamic pillars of 0.2 m (mmdet3d), the teacher of DistillBEV and DualDistill."""

    network: ClassVar[str] = "centerpoint"  # name of its preset in the profiles
    columns: ClassVar[int] = 5  # per point: x, y, z, intensity, age

    pillar_m: Positive = 0.2
    z_range_m: Interval = (-5.0, 3.0)
    pillar_channels: Count = 64
    # 0: every point | n: the first n of a pillar, padded with zeros, as in mmdet3d's CenterPoint (20)
    pillar_points: Whole = 0
    layers: Triple = (3, 5, 5)
    channels: Triple = (64, 128, 256)
    neck_channels: Count = 128  # of each of the three levels
    head: TeacherHeadSpec = field(default_factory=TeacherHeadSpec)


@dataclass(frozen=True, config=STRICT)
class MVPSpec(TeacherSpec):
    """CenterPoint on real, painted and virtual points of 17 columns (data/virtual_points/)."""

    network: ClassVar[str] = "mvp"
    columns: ClassVar[int] = 17

    virtual: VirtualSpec = field(default_factory=VirtualSpec)


TEACHERS: dict[str, type[TeacherSpec]] = {kind.network: kind for kind in (TeacherSpec, MVPSpec)}


@dataclass(frozen=True, config=STRICT)
class CropSpec:
    """Square crops of objects in the key-frame images, and of the background between them."""

    side_px: Annotated[int, Field(ge=32, multiple_of=32)] = 64  # after resizing
    margin: NotNegative = 0.15  # added on each side of the object's rectangle, relative to its longer side
    jitter: Share = 0.1  # largest shift and growth of the crop, relative to its side
    min_box_px: Positive = 8.0  # smallest longer side of an object's rectangle, in pixels of the stored image
    min_visibility: Annotated[int, Field(ge=1, le=4)] = 3  # nuScenes' levels: 3 is 60 % visible


@dataclass(frozen=True, config=STRICT)
class ClassifierSpec:
    """The student's ResNet with global average pooling and a linear layer."""

    depth: Literal[50, 101] = 50
    width: Count = 64
    crops: CropSpec = field(default_factory=CropSpec)


@dataclass(frozen=True, config=STRICT)
class LabelEncoderSpec:
    """Encoder from ground-truth boxes to a teacher's features, as in LabelDistill."""

    channels: Count = 256  # per cell, before the branches of the three taps
    # cells of a box, halved: exact, whose centre lies in it | released, LabelDistill's polygon of cut corners
    painting: Literal["exact", "released"] = "exact"
    velocity_weight: Weight = 0.2  # code weight of vx and vy in its loss; that of the teacher's head


@dataclass(frozen=True, config=STRICT)
class ScheduleSpec:
    """Length, learning rate and sampling of a training."""

    epochs: NotNegative = 24.0
    # optimizer steps in place of epochs; null: epochs decide. Milestones move in proportion
    total_steps: Annotated[Count | None, AddedLater(None)] = None
    scale: Annotated[Positive, AddedLater(1.0)] = (
        1.0  # factor on the length and its milestones, not on the warm-up
    )
    batch: Count = 32  # samples per optimizer step, over all devices and accumulated parts
    # samples that a device takes at once and averages in BatchNorm; the rest is accumulated; null: all
    batch_per_device: Count | None = None
    sync_batchnorm: bool = False  # BatchNorm over the total batch: needs batch / batch_per_device devices
    lr: Positive = 2e-4
    head_rate: Positive = 1.0  # factor on lr for layers that start untrained: the head, a method's layers
    weight_decay: NotNegative = 0.01
    policy: Literal["step", "cosine", "cyclic"] = "step"
    # with policy cyclic: AdamW's beta1 falls while the rate rises, as in mmdet3d
    cycle_momentum: bool = False
    steps: tuple[Count, ...] = (16, 22)  # epochs at which the step policy divides by ten
    warmup_iters: Whole = 500
    clip_norm: Positive = 5.0
    ema: ShareBelowOne = 0.0  # decay of the averaged weights; 0 switches it off
    cbgs: bool = True
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"  # Lightning Fabric's names

    def steps_in_all(self, steps_per_epoch: int) -> int:
        """Optimizer steps of the whole training."""
        length = self.epochs * steps_per_epoch if self.total_steps is None else self.total_steps
        return round(length * self.scale)

    def repeats(self, samples: int) -> bool:
        """Whether the training sees some of this many samples more than once."""
        return self.steps_in_all(samples // self.batch) * self.batch > samples

    def milestones(self, steps_per_epoch: int) -> list[float]:
        """Steps at which the step policy divides the rate by ten."""
        length = self.epochs * steps_per_epoch
        stretch = self.scale if self.total_steps is None else self.scale * self.total_steps / max(length, 1)
        return [epoch * steps_per_epoch * stretch for epoch in self.steps]

    @property
    def per_device(self) -> int:
        """Samples that a device takes at once."""
        return self.batch_per_device or self.batch

    @property
    def fault(self) -> str:
        """A sentence on keys that contradict each other; empty if none do."""
        if self.batch % self.per_device:
            return f"a batch of {self.batch} is not a multiple of batch_per_device {self.per_device}"
        if self.cycle_momentum and self.policy != "cyclic":
            return f"cycle_momentum belongs to policy cyclic, and the policy is {self.policy}"
        return ""

    def parts(self, devices: int) -> int:
        """Parts of a batch that each device accumulates; refuse a number of devices that does not fit."""
        most = self.batch // self.per_device
        if self.sync_batchnorm and devices != most:
            raise UserError(
                f"sync_batchnorm averages over the total batch of {self.batch}: with {self.per_device} per "
                f"device that takes {most} devices, and there are {devices}",
                hint=f"devices that fit: {most}; or set schedule.sync_batchnorm: false",
            )
        if most % devices:
            fitting = " or ".join(str(count) for count in range(1, most + 1) if most % count == 0)
            raise UserError(
                f"{devices} devices cannot share a batch of {self.batch} with {self.per_device} per device",
                hint=f"devices that fit: {fitting}; or change schedule.batch_per_device",
            )
        return most // devices


@dataclass(frozen=True, config=STRICT)
class DistillSpec:
    """A distillation method with all of its options, including defaults."""

    method: str
    options: dict[str, Any]
    label_encoder: RunSpec | None = None  # for a method that also learns from encoded labels
    masks: MaskSpec | None = None  # for a method that learns from instance masks of the student's images


@dataclass(frozen=True, config=STRICT)
class RunSpec:
    """A training, and its evaluation if it predicts boxes. Rows that resolve to equal specs share a run."""

    # fields of earlier versions, at the value of all runs that can still be trained: ids go on hashing them
    retired: ClassVar[dict[str, Any]] = {"cell_class_weight": 0.0}

    kind: Literal["teacher", "labels", "pretrain", "student"]
    seed: Seed
    data: DataSpec
    grid: GridSpec
    input: InputSpec
    model: StudentSpec | TeacherSpec | ClassifierSpec | LabelEncoderSpec
    schedule: ScheduleSpec
    threads: Count  # part of the spec, because it changes the last bits
    versions: dict[str, int]
    distill: DistillSpec | None = None
    teacher: RunSpec | None = None
    pretraining: RunSpec | None = None  # the run that gives it its initial weights
    imported: str | None = None  # the row whose weights come from a released file; nothing is trained

    def prerequisites(self) -> list[RunSpec]:
        """Runs that initialise this run or encode its labels, directly or through other runs."""
        direct = [spec for spec in (self.pretraining, self.label_encoder) if spec]
        return direct + [indirect for spec in direct for indirect in spec.prerequisites()]

    @property
    def virtual(self) -> VirtualSpec | None:
        """Virtual points in the input of the run or of its teacher."""
        model = self.teacher.model if self.teacher else self.model
        return model.virtual if isinstance(model, MVPSpec) else None

    @property
    def pastes(self) -> bool:
        """Whether objects of other frames are pasted in its training."""
        spec = self.input
        return isinstance(spec, TeacherInputSpec) and spec.paste and self.schedule.epochs > 0

    @property
    def label_encoder(self) -> RunSpec | None:
        return self.distill.label_encoder if self.distill else None

    @property
    def masks(self) -> MaskSpec | None:
        """Instance masks that the method reads with the student's images."""
        return self.distill.masks if self.distill else None

    @property
    def degraded(self) -> TeacherInputSpec | None:
        """Input of the run or of its teacher, if its LiDAR is degraded."""
        spec = (self.teacher or self).input
        return spec if isinstance(spec, TeacherInputSpec) and spec.degraded else None

    @cached_property
    def sha(self) -> str:
        return sha_of(contents(self))


def contents(spec: Any) -> Any:
    """The content that an id hashes: all fields of a spec, including defaults, as plain values."""
    if dataclasses.is_dataclass(spec):
        beside = {"network": spec.network} if hasattr(spec, "network") else getattr(spec, "retired", {})
        values = {item.name: getattr(spec, item.name) for item in dataclasses.fields(spec)}
        kept = {name: value for name, value in values.items() if not _is_neutral(type(spec), name, value)}
        return beside | contents(kept)
    if isinstance(spec, dict):
        return {key: contents(value) for key, value in spec.items()}
    return [contents(value) for value in spec] if isinstance(spec, list | tuple) else spec


def _is_neutral(kind: Any, name: str, value: Any) -> bool:
    marks = (mark for mark in kind.__pydantic_fields__[name].metadata if isinstance(mark, AddedLater))
    return any(contents(value) == mark.neutral for mark in marks)
