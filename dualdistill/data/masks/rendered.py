"""Masks that the synthetic world rendered with its images: every visible pixel of every object."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from dualdistill.data.index import Index
from dualdistill.data.masks.provider import Instance
from dualdistill.errors import DataError
from dualdistill.world.nuscenes.names import mask_name, token


class RenderedMasks:
    """Perfect masks: an upper bound for every segmenter."""

    def __init__(self, index: Index, root: Path) -> None:
        self.index, self.root = index, root
        labels = dict(zip(index.annotation_instance.tolist(), index.annotation_label.tolist(), strict=True))
        names = index.instance_token.tolist()
        self._label = {names[rank].decode(): label for rank, label in labels.items()}

    def masks(self, record: int) -> list[Instance]:
        """One instance per object; objects too far away to be annotated in any frame are left out."""
        number_HW = self._read(record)
        scene = self.index.scene_name[self.index.record_scene[record]].decode()
        instances = []
        for number in np.unique(number_HW[number_HW > 0]).tolist():
            label = self._label.get(token(scene, "instance", number))
            if label is not None:
                instances.append(Instance(label, 1.0, number_HW == number))
        return instances

    def _read(self, record: int) -> np.ndarray:
        path = self.root / mask_name(self.index.path(record))
        try:
            with Image.open(path) as stored:
                return np.asarray(stored)
        except (OSError, SyntaxError) as error:
            what = f"the instance mask is missing or damaged ({self.index.describe(record)})"
            raise DataError(what, where=str(path), hint="only the synthetic world renders masks") from error
