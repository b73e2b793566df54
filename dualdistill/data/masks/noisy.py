"""Rendered masks, damaged until they are as good as a segmenter's: objects missed, merged, taken for another
class, outlines off, masks of nothing, and scores that know only roughly how good a mask is.

Every object draws the same numbers whatever the shares are: turning one knob leaves the others' damage alone.
Axes: M objects, H W image rows and columns.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from dualdistill.config.nuscenes import CLASSES
from dualdistill.config.run_spec import DamageSpec
from dualdistill.data.masks.provider import Instance, Mask, MaskProvider, overlap
from dualdistill.seeding import seed_for

# what a class is taken for
ALIKE = {
    "car": ("truck",),
    "truck": ("car", "bus", "construction_vehicle", "trailer"),
    "construction_vehicle": ("truck",),
    "bus": ("truck", "trailer"),
    "trailer": ("truck", "bus"),
    "barrier": ("traffic_cone",),
    "motorcycle": ("bicycle",),
    "bicycle": ("motorcycle",),
    "pedestrian": ("bicycle", "traffic_cone"),
    "traffic_cone": ("barrier", "pedestrian"),
}
TOUCH_PX = 2  # objects this close are one to a careless look
CONFUSED_SCORE = 0.7  # of what the score would be with the right class
FALSE_SCORE = 0.3  # of a mask of nothing, on average
FALSE_SIDE = (0.02, 0.15)  # of a mask of nothing, as a share of the image's width
WAVES = 4  # rows and columns of the grid that bends an outline


class Noisy:
    """A provider's instances after damage that depends on the image's name and the seed alone."""

    def __init__(self, truth: MaskProvider, damage: DamageSpec) -> None:
        self.index, self.truth, self.damage = truth.index, truth, damage

    def masks(self, record: int) -> list[Instance]:
        """What a mediocre segmenter would say of an image."""
        damage, truth = self.damage, self.truth.masks(record)
        generator = np.random.default_rng(seed_for(damage.seed, "masks", self.index.path(record)))
        share_M5 = generator.random((len(truth), 5))
        bend_MD = generator.standard_normal((len(truth), 4 + WAVES**2))
        size = (int(self.index.record_height[record]), int(self.index.record_width[record]))
        seen = self._merged(truth, self._found(truth, share_M5), share_M5[:, 2])
        damaged = []
        for m, mask_HW in seen.items():
            bent_HW = self._bent(mask_HW, bend_MD[m])
            if not bent_HW.any():
                continue
            label, quality = truth[m].label, overlap(bent_HW, truth[m].mask_HW)
            if share_M5[m, 3] < damage.confused:
                alike = ALIKE[CLASSES[label]]
                label = CLASSES.index(alike[int(share_M5[m, 4] * len(alike))])
                quality *= CONFUSED_SCORE
            damaged.append(Instance(label, self._score(quality, bend_MD[m, 0]), bent_HW))
        return damaged + self._of_nothing(generator, size)

    def _found(self, truth: list[Instance], share_M5: np.ndarray) -> list[int]:
        pixels_M = np.array([one.mask_HW.sum() for one in truth])
        found_M = share_M5[:, 0] >= self.damage.missed
        found_M &= share_M5[:, 1] >= np.exp(-pixels_M / self.damage.small_px)
        return np.flatnonzero(found_M).tolist()

    def _merged(self, truth: list[Instance], found: list[int], share_M: np.ndarray) -> dict[int, Mask]:
        """The masks of what is found, after some were swallowed by a neighbour of their class."""
        masks = {m: truth[m].mask_HW for m in found}
        reach = np.ones((2 * TOUCH_PX + 1,) * 2, np.uint8)
        for m in found:
            if share_M[m] >= self.damage.merged:
                continue
            near_HW = cv2.dilate(masks[m].astype(np.uint8), reach).astype(bool)
            alike = [other for other in masks if other != m and truth[other].label == truth[m].label]
            touching = [other for other in alike if (masks[other] & near_HW).any()]
            if touching:
                largest = max(touching, key=lambda other: int(masks[other].sum()))
                masks[largest] = masks[largest] | masks.pop(m)
        return masks

    def _bent(self, mask_HW: Mask, bend_D: np.ndarray) -> Mask:
        """The mask with its outline moved, in whole, in waves, and with all of it."""
        side_px = math.sqrt(mask_HW.sum())
        margin = math.ceil(3 * (self.damage.outline + self.damage.shift) * side_px) + 2
        rows, columns = (np.flatnonzero(mask_HW.any(axis=axis)) for axis in (1, 0))
        top, left = (max(0, int(span[0]) - margin) for span in (rows, columns))
        window = np.s_[top : int(rows[-1]) + margin + 1, left : int(columns[-1]) + margin + 1]
        inside = mask_HW[window].astype(np.uint8)
        inner, outer = (cv2.distanceTransform(part, cv2.DIST_L2, 5) for part in (inside, 1 - inside))
        # to the outline, which runs between the pixels; positive within
        height_hw = np.where(inside > 0, inner - 0.5, 0.5 - outer).astype(np.float32)
        move_23 = np.eye(2, 3)
        move_23[:, 2] = self.damage.shift * side_px * bend_D[1:3]
        size = inside.shape[::-1]
        moved_hw = cv2.warpAffine(height_hw, move_23, size, borderMode=cv2.BORDER_REPLICATE)
        waves = bend_D[4:].reshape(WAVES, WAVES).astype(np.float32)
        growth_hw = (bend_D[3] + cv2.resize(waves, size, interpolation=cv2.INTER_CUBIC)) / math.sqrt(2)
        bent_HW = np.zeros_like(mask_HW)
        bent_HW[window] = moved_hw + self.damage.outline * side_px * growth_hw > 0
        return bent_HW

    def _score(self, quality: float, noise: float) -> float:
        return float(np.clip(quality + self.damage.score_noise * noise, 0.01, 1.0))

    def _of_nothing(self, generator: np.random.Generator, size: tuple[int, int]) -> list[Instance]:
        """Ellipses where nothing need be."""
        found = []
        for _ in range(generator.poisson(self.damage.false_masks)):
            label = int(generator.integers(len(CLASSES)))
            half = generator.uniform(*FALSE_SIDE, 2) * size[1] / 2
            centre = generator.random(2) * size[::-1]
            row_H1, column_W = np.ogrid[: size[0], : size[1]]
            mask_HW = ((column_W - centre[0]) / half[0]) ** 2 + ((row_H1 - centre[1]) / half[1]) ** 2 <= 1
            score = self._score(FALSE_SCORE, generator.standard_normal())
            if mask_HW.any():
                found.append(Instance(label, score, mask_HW))
        return found
