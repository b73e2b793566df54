"""Training batches as a function of seed and step alone, so a resumed run gets the same batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch.utils.data import Dataset

from dualdistill.config.nuscenes import CAMERAS
from dualdistill.config.run_spec import CropSpec, RunSpec, ScheduleSpec
from dualdistill.data import crop_dataset, dataset
from dualdistill.data.crop_dataset import CropDataset
from dualdistill.data.dataset import FrameDataset, KeptSamples
from dualdistill.data.index import Index
from dualdistill.data.loader_processes import Keys, load, processes
from dualdistill.data.masks import open_masks
from dualdistill.data.sampling import epoch_order
from dualdistill.distributed import main_memory
from dualdistill.errors import UserError
from dualdistill.plan.plan import DataPaths

KEPT = 1 / 16  # largest share of the main memory for samples


class TrainingBatches:
    """Epochs of whole batches: samples left over at the end of an epoch are dropped until the next shuffle.

    `order` gives the positions of an epoch, whose samples are read by (position, draw); a training has
    `total` steps, so a fractional last epoch is cut short.
    """

    def __init__(
        self,
        schedule: ScheduleSpec,
        samples: Dataset[Any],
        collate: Callable[[list[Any]], Any],
        order: Callable[[int], NDArray[np.int64]],
    ) -> None:
        self.schedule, self.samples, self.collate, self.order = schedule, samples, collate, order
        count = len(order(0))
        self.steps_per_epoch = count // schedule.batch
        self.total = schedule.steps_in_all(self.steps_per_epoch)
        if self.steps_per_epoch == 0:
            raise UserError(
                f"{count} training samples do not fill one batch of {schedule.batch}",
                hint="lower the batch or use more scenes",
            )

    def first(self, count: int) -> Any:
        """The first samples as a batch."""
        order = self.order(0)
        return self.collate([self.samples[int(order[slot]), slot] for slot in range(count)])

    def batches(self, step: int, fabric: Fabric) -> Iterator[Any]:
        """This process's share of every batch from a step on, in parts that are accumulated."""
        return load(self.samples, self.collate, self._keys(step, fabric.world_size, fabric.global_rank))

    def _keys(self, step: int, processes: int, rank: int) -> Iterator[Keys]:
        """Positions and draws of every part of a process, to the end of the training."""
        schedule = self.schedule
        parts, share = schedule.parts(processes), schedule.per_device
        for epoch in range(step // self.steps_per_epoch, math.ceil(self.total / self.steps_per_epoch)):
            order, first_step = self.order(epoch), epoch * self.steps_per_epoch
            for number in range(
                max(step - first_step, 0), min(self.steps_per_epoch, self.total - first_step)
            ):
                for part in range(parts):
                    first = number * schedule.batch + (part * processes + rank) * share
                    slots = range(first, first + share)
                    # CBGS repeats samples within an epoch: the slot gives each repeat its own augmentation
                    yield [(int(order[slot]), epoch * len(order) + slot) for slot in slots]


def frame_batches(spec: RunSpec, data: DataPaths, *, images: bool, points: bool) -> TrainingBatches:
    """Batches of the training split for a detector."""
    frames = training_frames(spec, data, images=images, points=points)

    def order(epoch: int) -> NDArray[np.int64]:
        index, split = frames.index, spec.data.train_split
        return epoch_order(index, split, seed=spec.seed, epoch=epoch, cbgs=spec.schedule.cbgs)

    samples = KeptSamples(frames) if _keeps(frames) else frames
    return TrainingBatches(spec.schedule, samples, dataset.collate, order)


def training_frames(spec: RunSpec, data: DataPaths, *, images: bool, points: bool) -> FrameDataset:
    """The samples of the training split."""
    index = Index.load(data.index)
    where = (index, data.root, data.cache, spec.data.train_split, spec)
    masks = open_masks(spec.masks, index, data.root, data.masks) if spec.masks else None
    return FrameDataset(
        *where,
        train=True,
        images=images,
        points=points,
        resized=data.images(spec),
        virtual=data.virtual(spec),
        objects=data.objects(spec),
        masks=masks,
    )


def _keeps(frames: FrameDataset) -> bool:
    """Whether a training sees the same samples again, in this process, and all of them fit in memory."""
    size = frames.spec.input
    images_bytes = len(frames) * 2 * len(CAMERAS) * 3 * size.image_height * size.image_width
    again = frames.repeats and frames.spec.schedule.repeats(len(frames)) and processes() == 0
    return again and not frames.points and images_bytes <= KEPT * main_memory()


def crop_batches(spec: RunSpec, data: DataPaths, window: CropSpec) -> TrainingBatches:
    """Batches of crops from the pre-training scenes for a classifier."""
    crops = CropDataset(Index.load(data.index), data.root, data.cache, spec, window, train=True)
    return TrainingBatches(spec.schedule, crops, crop_dataset.collate, crops.order)
