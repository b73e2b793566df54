"""The batches of a training, by seed and step alone: a resumed run sees what it would have seen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from lightning.fabric import Fabric
from torch.utils.data import DataLoader

from dualdistill.batch import Batch
from dualdistill.data.dataset import FrameDataset, collate
from dualdistill.data.index import Index
from dualdistill.data.sampling import epoch_order
from dualdistill.errors import UserError
from dualdistill.plan import DataPaths
from dualdistill.spec import RunSpec


class Feed:
    """Epochs of whole batches; what does not fill the last batch of an epoch waits for the next shuffle."""

    def __init__(self, spec: RunSpec, data: DataPaths, *, images: bool, points: bool) -> None:
        self.spec = spec
        self.index = Index.load(data.index)
        self.dataset = FrameDataset(
            self.index,
            data.root,
            data.cache,
            spec.data.train_split,
            spec,
            train=True,
            images=images,
            points=points,
        )
        self.steps_per_epoch = len(self._order(0)) // spec.schedule.batch
        self.total = spec.schedule.epochs * self.steps_per_epoch
        if self.total == 0:
            raise UserError(
                f"{len(self._order(0))} training samples do not fill one batch of {spec.schedule.batch}",
                hint="lower the batch or use more scenes",
            )

    def batches(self, step: int, fabric: Fabric) -> Iterator[Batch]:
        schedule = self.spec.schedule
        share = schedule.batch // (schedule.accumulate * fabric.world_size)
        for epoch in range(step // self.steps_per_epoch, schedule.epochs):
            order = self._order(epoch)
            keys = []
            for number in range(step % self.steps_per_epoch, self.steps_per_epoch):
                for part in range(schedule.accumulate):
                    first = number * schedule.batch + (part * fabric.world_size + fabric.global_rank) * share
                    slots = range(first, first + share)
                    # CBGS repeats samples within an epoch: the slot makes each repeat's augmentation its own
                    keys.append([(int(order[slot]), epoch * len(order) + slot) for slot in slots])
            step = (epoch + 1) * self.steps_per_epoch
            workers = int(os.environ.get("DUALDISTILL_LOADERS", "0"))
            yield from DataLoader(self.dataset, batch_sampler=keys, collate_fn=collate, num_workers=workers)

    def _order(self, epoch: int) -> Any:
        spec = self.spec
        return epoch_order(
            self.index, spec.data.train_split, seed=spec.seed, epoch=epoch, cbgs=spec.schedule.cbgs
        )
