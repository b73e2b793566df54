"""Instance masks of an image as the network sees them: whatever happens to the image happens to them.

Axes: H W image rows and columns, S instances.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch

from dualdistill.batch import Instances
from dualdistill.data.augment import warp
from dualdistill.data.geometry import Array

if TYPE_CHECKING:  # masks/ reads the data set, so it cannot be imported from here
    from dualdistill.masks import Instance


def as_seen(found: Iterable[Instance], affine_33: Array, size: tuple[int, int]) -> Instances:
    """The instances through an image's affine; a pixel belongs to a mask that covers half of it.

    What lies outside of the network's image, or is too thin for its pixels, is dropped.
    """
    masks, labels, scores = [], [], []
    for one in found:
        mask_HW = warp(np.where(one.mask_HW, np.uint8(255), np.uint8(0)), affine_33, size) > 127
        if mask_HW.any():
            masks.append(mask_HW)
            labels.append(one.label)
            scores.append(one.score)
    return Instances(
        torch.from_numpy(np.array(masks, dtype=bool).reshape(-1, *size)),
        torch.tensor(labels, dtype=torch.int64),
        torch.tensor(scores, dtype=torch.float32),
    )
