"""Every network and every method, small and with random weights, and a batch that has the inputs of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from batches import SLIM_GRID, SLIM_STUDENT, SLIM_TEACHER, random_batch

from dualdistill.config import method_options
from dualdistill.config.run_spec import ClassifierSpec, GridSpec, LabelEncoderSpec, MVPSpec
from dualdistill.data.batch import Batch, Crops, Instances
from dualdistill.distill.base import Distiller
from dualdistill.models import Classifier, LabelEncoder, Teacher
from dualdistill.models.bevdepth.student import BEVDepth
from dualdistill.training.objective import LabelEncoderObjective, Networks, Objective, Teachers


@dataclass(frozen=True)
class Size:
    grid: GridSpec
    image: tuple[int, int]
    samples: int


# the backward pass in float16 is slow on CPUs that do not have it
SMALL = Size(GridSpec(half_extent_m=12.8, cell_m=1.6), (32, 96), 2)
# batch norms of a random network that average over few cells amplify what rounding changes
LARGE = Size(SLIM_GRID, (64, 176), 4)
METHODS = sorted(method_options.methods())


def batch_with_objects(size: Size) -> Batch:
    """A batch with the inputs of all methods: the box of every point, and masks in every camera."""
    draw = torch.Generator().manual_seed(1)
    batch = random_batch(size.samples, grid=size.grid, image=size.image, boxes=6)
    owner_BNhw = torch.randint(1, 7, batch.depth_BNhw.shape, generator=draw) * (batch.depth_BNhw > 0)
    masks_SHW = torch.zeros(2, *size.image, dtype=torch.bool)
    masks_SHW[0, 4:20, 10:40] = True
    masks_SHW[1, 10:30, 50:90] = True
    instances = Instances.of(masks_SHW, torch.tensor([0, 8]), torch.tensor([0.9, 0.6]))
    return replace(batch, owner_BNhw=owner_BNhw, instances=((instances,) * 6,) * size.samples)


def student_of(method: str, size: Size) -> Networks:
    student, teacher = BEVDepth(SLIM_STUDENT, size.grid), Teacher(SLIM_TEACHER, size.grid)
    distiller: Distiller = method_options.load(method)(**method_options.fill(method, {}))
    image = (SLIM_STUDENT.neck_channels, size.image[0] // 16, size.image[1] // 16)
    distiller.bind(student.tap_shapes() | {"image": image}, teacher.tap_shapes())
    distiller.prepare(student.head, teacher.head)
    encoder = LabelEncoder(LabelEncoderSpec(channels=16), size.grid, teacher.tap_shapes())
    return Networks(Objective(student, distiller), Teachers(teacher, encoder), {})


def label_encoder(grid: GridSpec) -> Networks:
    teacher = Teacher(SLIM_TEACHER, grid)
    encoder = LabelEncoder(LabelEncoderSpec(channels=16), grid, teacher.tap_shapes())
    return Networks(LabelEncoderObjective(encoder), Teachers(teacher), {})


def mvp(grid: GridSpec) -> Networks:
    numbers = {item.name: getattr(SLIM_TEACHER, item.name) for item in fields(SLIM_TEACHER)}
    return Networks(Objective(Teacher(MVPSpec(**numbers), grid)), None, {})


OTHERS: dict[str, Callable[[GridSpec], Networks]] = {
    "student": lambda grid: Networks(Objective(BEVDepth(SLIM_STUDENT, grid)), None, {}),
    "centerpoint": lambda grid: Networks(Objective(Teacher(SLIM_TEACHER, grid)), None, {}),
    "mvp": mvp,
    "labels": label_encoder,
    "classifier": lambda grid: Networks(Objective(Classifier(ClassifierSpec(width=8))), None, {}),
}


def networks_of(name: str, size: Size) -> Networks:
    torch.manual_seed(0)
    return student_of(name, size) if name in METHODS else OTHERS[name](size.grid)


def input_of(name: str, size: Size) -> Batch | Crops:
    batch = batch_with_objects(size)
    if name == "classifier":
        return Crops(batch.tokens, torch.randn(32, 3, 64, 64), torch.arange(32) % 11)
    if name == "mvp":
        painted = torch.rand(400, 17, generator=torch.Generator().manual_seed(2)) * 40 - 20
        return replace(batch, points_PI=(painted,) * size.samples)
    return batch
