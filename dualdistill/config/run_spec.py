"""What a run is, as numbers: frozen dataclasses that are hashed, compared and printed.

Nothing here imports torch: the Snakefile plans with it. A field belongs in a spec exactly when changing it
changes the result; where files lie, how many workers load them and how often a line is printed do not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, TypeVar

from dualdistill.config.building import build
from dualdistill.config.nuscenes import CLASSES
from dualdistill.config.world import WorldSpec
from dualdistill.errors import UserError
from dualdistill.store.files import canonical_json, sha_of


@dataclass(frozen=True)
class DataSpec:
    """Which tables are read, and which of their splits."""

    name: str  # world | nuscenes
    version: str  # v1.0-world | v1.0-trainval | v1.0-mini
    train_split: str
    dev_split: str
    val_split: str
    pretrain_split: str | None = None  # None: nothing is pre-trained
    world: WorldSpec | None = None

    def splits(self) -> dict[str, str]:
        """What this suite calls a split -> what the devkit calls it."""
        found = {"train": self.train_split, "dev": self.dev_split, "val": self.val_split}
        return found | ({"pretrain": self.pretrain_split} if self.pretrain_split else {})


@dataclass(frozen=True)
class GridSpec:
    """The square BEV grid that teacher and student share, centred on LIDAR_TOP."""

    half_extent_m: float = 51.2
    cell_m: float = 0.8

    @property
    def cells(self) -> int:
        return round(2 * self.half_extent_m / self.cell_m)


@dataclass(frozen=True)
class InputSpec:
    """What reaches the network, and the augmentation on the way (methods.md 2.1, models.md 2.4)."""

    image_height: int = 256
    image_width: int = 704
    resize_jitter: tuple[float, float] = (-0.06, 0.11)  # added to width / source width
    resize_test: float = 0.04
    image_flip: bool = True
    image_rotate_deg: float = 5.4
    bev_rotate_deg: float = 22.5
    bev_scale: tuple[float, float] = (0.95, 1.05)
    bev_flip: bool = True
    sweeps: int = 10  # LiDAR sweeps, the key frame included
    history_train_s: tuple[float, float] = (0.75, 2.25)  # age of the previous camera frame, drawn uniformly
    history_test_s: float = 1.5


# A teacher sees no image: these keep the spec's own values, and turning a camera knob retrains no teacher.
CAMERA_FIELDS = (
    "image_height",
    "image_width",
    "resize_jitter",
    "resize_test",
    "image_flip",
    "image_rotate_deg",
    "history_train_s",
    "history_test_s",
)


BEV_FIELDS = ("bev_rotate_deg", "bev_scale", "bev_flip")  # all that happens to a box


@dataclass(frozen=True)
class DegradedInputSpec(InputSpec):
    """Input through a LiDAR with fewer rings and noisier ranges, in training as in testing."""

    every_ring: int = 1  # keeps the rings whose number it divides: 4 leaves 8 of 32
    range_noise_m: float = 0.0  # standard deviation, along the ray; the same for a return in every epoch


KEYS = ("every_ring", "range_noise_m")


def input_spec(values: Mapping[str, Any]) -> InputSpec:
    """Degraded where one of the keys is on."""
    if values.get("every_ring", 1) > 1 or values.get("range_noise_m", 0) > 0:
        return build(DegradedInputSpec, values)
    return build(InputSpec, {key: value for key, value in values.items() if key not in KEYS})


@dataclass(frozen=True)
class HeadSpec:
    """CenterHead on the BEV map: targets, loss and decoding (models.md 5)."""

    share_channels: int = 64
    velocity_weight: float = 1.0  # code weight of vx, vy: 1.0 student, 0.2 teacher
    score_threshold: float = 0.1
    nms_iou: float = 0.2
    nms_scale: tuple[float, ...] = (1.0,) * len(CLASSES)  # of each class's footprint while NMS compares boxes
    max_candidates: int = 500  # per task that NMS compares with each other; on a CPU it costs their square
    max_per_task: int = 83


@dataclass(frozen=True)
class DamageSpec:
    """What happens to rendered masks until they are as good as a segmenter's (docs/methods/mvp.md)."""

    seed: int = 0
    missed: float = 0.07  # share of the objects that are not found, whatever their size
    small_px: float = 20.0  # of the others, exp(-visible pixels / small_px) is not found either
    merged: float = 0.1  # share of the objects that touch one of their class and become one with it
    confused: float = 0.07  # share that is taken for something alike
    outline: float = 0.05  # spread of the outline's displacement, as a share of the root of the mask's area
    shift: float = 0.04  # spread of the whole mask's displacement, likewise
    false_masks: float = 0.5  # per image, on average
    score_noise: float = 0.15  # spread of a score around the mask's quality


@dataclass(frozen=True)
class MaskSpec:
    """Whose instance masks."""

    masks: str = "file"  # oracle: rendered | noisy: rendered, then damaged | file: somebody else's
    damage: DamageSpec | None = None  # of noisy masks


@dataclass(frozen=True)
class VirtualSpec(MaskSpec):
    """Points that instance masks add to a cloud (models.md 11.1)."""

    per_mask: int = 50
    max_gap_s: float = 0.1  # a sweep takes no image that is further away in time


@dataclass(frozen=True)
class StudentSpec:
    """BEVDepth4D of the BEVDet code base (models.md 2). Slim presets differ by numbers only."""

    # random | a run of this suite: pretrained, detector, shallower | a file: imagenet
    start: str = "imagenet"
    depth: int = 50  # ResNet-50 or ResNet-101
    width: int = 64  # base channels of the ResNet
    feature_stride: int = 16  # pixels per cell of the map that is lifted: 8 | 16
    neck_channels: int = 512
    depth_channels: int = 256
    context_channels: int = 64
    depth_bins_m: tuple[float, float, float] = (1.0, 60.0, 1.0)  # from, to, step
    depth_loss: str = (
        "bevdet"  # bevdet: sigmoid BCE, mean over all | megvii: softmax BCE, mean over hit cells
    )
    depth_weight: float = 100.0
    bev_channels: tuple[int, int, int] = (128, 256, 512)
    bev_out_channels: int = 256
    extra_norm: bool = True  # BN + ReLU after the BEV neck; on for baseline and distilled alike
    activation_checkpoint: bool = False
    head: HeadSpec = field(default_factory=HeadSpec)


@dataclass(frozen=True)
class DetectorSpec(StudentSpec):
    """A student's network, taught one thing more, which leaves nothing behind in the network itself."""

    naming_weight: float = 0.0  # of the loss for what every cell of the image map shows


@dataclass(frozen=True)
class TeacherSpec:
    """Dynamic-pillar CenterPoint (models.md 6.2)."""

    name: ClassVar[str] = "centerpoint"  # of its preset in the profiles
    columns: ClassVar[int] = 5  # of a point: x, y, z, intensity, age

    pillar_m: float = 0.2
    z_range_m: tuple[float, float] = (-5.0, 3.0)
    pillar_channels: int = 64
    layers: tuple[int, int, int] = (3, 5, 5)
    channels: tuple[int, int, int] = (64, 128, 256)
    neck_channels: int = 128  # of each of the three levels
    head: HeadSpec = field(default_factory=lambda: HeadSpec(velocity_weight=0.2))


@dataclass(frozen=True)
class MVPSpec(TeacherSpec):
    """The same network on real, painted and virtual points; 17 columns each (data/virtual.py)."""

    name: ClassVar[str] = "mvp"
    columns: ClassVar[int] = 17

    virtual: VirtualSpec = field(default_factory=VirtualSpec)


TEACHERS = {kind.name: kind for kind in (TeacherSpec, MVPSpec)}


@dataclass(frozen=True)
class CropSpec:
    """Square windows around objects in the key-frame images, and windows of background between them."""

    side_px: int = 64  # as the network sees a crop
    margin: float = 0.15  # around the object's rectangle, on each side, as a share of its longer side
    jitter: float = 0.1  # the window moves and grows by up to this share of its side
    min_box_px: float = 8.0  # longer side of the smallest rectangle, in pixels of the stored image
    min_visibility: int = 3  # nuScenes' levels: 3 is 60 % visible


@dataclass(frozen=True)
class ClassifierSpec:
    """The student's ResNet under global average pooling and one linear layer."""

    depth: int = 50
    width: int = 64
    crops: CropSpec = field(default_factory=CropSpec)


@dataclass(frozen=True)
class LabelEncoderSpec:
    """From boxes to the maps in which a teacher's neck and head find them (methods.md 6)."""

    channels: int = 256  # of a cell, before the maps part


@dataclass(frozen=True)
class ScheduleSpec:
    """How long, how fast, in what order."""

    epochs: float = 24
    batch: int = 32  # samples per optimizer step, over all devices and accumulation steps
    accumulate: int = 1
    lr: float = 2e-4
    head_rate: float = 1.0  # times lr, for what comes new to a trained body: the head, a method's own layers
    weight_decay: float = 0.01
    policy: str = "step"  # step | cosine | cyclic
    steps: tuple[int, ...] = (16, 22)  # epochs at which the step policy divides by ten
    warmup_iters: int = 500
    clip_norm: float = 5.0
    ema: float = 0.0  # 0 switches it off
    cbgs: bool = True
    precision: str = "32-true"  # Lightning Fabric's names: 32-true, bf16-mixed, 16-mixed


@dataclass(frozen=True)
class DistillSpec:
    """A method by its name, with every one of its options spelled out (defaults included)."""

    method: str
    options: dict[str, Any]


@dataclass(frozen=True)
class LabelledDistillSpec(DistillSpec):
    """Of a method that learns from labels as well; a class of its own, so that no other method is renamed."""

    label_encoder: RunSpec


@dataclass(frozen=True)
class MaskedDistillSpec(DistillSpec):
    """A method that learns from instance masks of the student's images."""

    masks: MaskSpec


@dataclass(frozen=True)
class RunSpec:
    """One training, and its evaluation if it detects. Two rows that resolve to equal specs are one run."""

    kind: str  # teacher | labels | pretrain | detector | student
    seed: int
    data: DataSpec
    grid: GridSpec
    input: InputSpec
    model: StudentSpec | TeacherSpec | ClassifierSpec | LabelEncoderSpec
    schedule: ScheduleSpec
    threads: int  # the thread count changes the last bits, so it is part of the run
    versions: dict[str, int]
    distill: DistillSpec | None = None
    teacher: RunSpec | None = None
    pretraining: RunSpec | None = None  # whose weights it starts from

    def before(self) -> list[RunSpec]:
        """The runs that no row names and that have to be trained before this one."""
        own = [spec for spec in (self.pretraining, self.label_encoder) if spec]
        return own + [earlier for spec in own for earlier in spec.before()]

    @property
    def virtual(self) -> VirtualSpec | None:
        """The virtual points among those that the run, or the teacher it learns from, is given."""
        model = self.teacher.model if self.teacher else self.model
        return model.virtual if isinstance(model, MVPSpec) else None

    @property
    def label_encoder(self) -> RunSpec | None:
        return self.distill.label_encoder if isinstance(self.distill, LabelledDistillSpec) else None

    @property
    def masks(self) -> MaskSpec | None:
        """The instance masks that the student's images come with in training."""
        return self.distill.masks if isinstance(self.distill, MaskedDistillSpec) else None

    def canonical(self) -> str:
        return canonical_json(asdict(self))

    @cached_property
    def sha(self) -> str:
        return sha_of(asdict(self))


def degradation(spec: RunSpec) -> DegradedInputSpec | None:
    """What is wrong with the LiDAR of the run, or of the teacher it learns from."""
    seen = (spec.teacher or spec).input
    return seen if isinstance(seen, DegradedInputSpec) else None


M = TypeVar("M", bound=MaskSpec)


def available(masks: M, rendered: bool, row: str, where: Callable[[str], str]) -> M:
    """The masks, once it is sure that they can be had; only noisy ones count their damage."""
    if masks.masks != "file" and not rendered:
        what = f"row '{row}' asks for {masks.masks} masks, which only the synthetic world has"
        raise UserError(what, where=where("model.virtual.masks"), hint="model.virtual.masks: file")
    if masks.masks != "noisy":
        return replace(masks, damage=None)
    if masks.damage is None:
        what = f"row '{row}' asks for noisy masks, and model.virtual.damage is null"
        hint = "see teachers.mvp in config/profiles/world.yaml"
        raise UserError(what, where=where("model.virtual.damage"), hint=hint)
    return masks
