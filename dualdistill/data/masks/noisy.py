"""Rendered masks degraded to the quality of a segmenter's: objects missed, merged or misclassified, outlines
moved, false masks added, and scores that correlate only roughly with the quality of a mask.

Every object draws the same numbers whatever the settings, so changing one setting leaves the other damage
unchanged.
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

# the classes that a class is confused with
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
TOUCH_PX = 2  # objects at most this far apart may be merged
CONFUSED_SCORE = 0.7  # factor on the score of a misclassified mask
FALSE_SCORE = 0.3  # mean score of a false mask
FALSE_SIDE = (0.02, 0.15)  # of a false mask, as a share of the image width
WAVES = 4  # rows and columns of the grid of random outline shifts


class NoisyMasks:
    """A provider's instances with damage that depends on the image's name and the seed alone."""

    def __init__(self, clean: MaskProvider, damage: DamageSpec) -> None:
        self.index, self.clean, self.damage = clean.index, clean, damage

    def masks(self, record: int) -> list[Instance]:
        """Damaged instances of an image."""
        damage, clean = self.damage, self.clean.masks(record)
        generator = np.random.default_rng(seed_for(damage.seed, "masks", self.index.path(record)))
        share_M5 = generator.random((len(clean), 5))
        bend_MD = generator.standard_normal((len(clean), 4 + WAVES**2))
        size = (int(self.index.record_height[record]), int(self.index.record_width[record]))
        masks = self._merged(clean, self._detected(clean, share_M5), share_M5[:, 2])
        damaged = []
        for m, mask_HW in masks.items():
            bent_HW = self._bent(mask_HW, bend_MD[m])
            if not bent_HW.any():
                continue
            label, quality = clean[m].label, overlap(bent_HW, clean[m].mask_HW)
            if share_M5[m, 3] < damage.confused:
                alike = ALIKE[CLASSES[label]]
                label = CLASSES.index(alike[int(share_M5[m, 4] * len(alike))])
                quality *= CONFUSED_SCORE
            damaged.append(Instance(label, self._score(quality, bend_MD[m, 0]), bent_HW))
        return damaged + self._false_masks(generator, size)

    def _detected(self, clean: list[Instance], share_M5: np.ndarray) -> list[int]:
        """Indices of the objects that are not missed; small ones are missed more often."""
        pixels_M = np.array([instance.mask_HW.sum() for instance in clean])
        detected_M = share_M5[:, 0] >= self.damage.missed
        detected_M &= share_M5[:, 1] >= np.exp(-pixels_M / self.damage.small_px)
        return np.flatnonzero(detected_M).tolist()

    def _merged(self, clean: list[Instance], detected: list[int], share_M: np.ndarray) -> dict[int, Mask]:
        """Masks of the detected objects, some of them merged into a neighbour of their class."""
        masks = {m: clean[m].mask_HW for m in detected}
        reach = np.ones((2 * TOUCH_PX + 1,) * 2, np.uint8)
        for m in detected:
            if share_M[m] >= self.damage.merged:
                continue
            near_HW = cv2.dilate(masks[m].astype(np.uint8), reach).astype(bool)
            alike = [other for other in masks if other != m and clean[other].label == clean[m].label]
            touching = [other for other in alike if (masks[other] & near_HW).any()]
            if touching:
                largest = max(touching, key=lambda other: int(masks[other].sum()))
                masks[largest] = masks[largest] | masks.pop(m)
        return masks

    def _bent(self, mask_HW: Mask, bend_D: np.ndarray) -> Mask:
        """Shift the mask, and move its outline in and out, uniformly and in waves."""
        side_px = math.sqrt(mask_HW.sum())
        margin = math.ceil(3 * (self.damage.outline + self.damage.shift) * side_px) + 2
        rows, columns = (np.flatnonzero(mask_HW.any(axis=axis)) for axis in (1, 0))
        top, left = (max(0, int(span[0]) - margin) for span in (rows, columns))
        window = np.s_[top : int(rows[-1]) + margin + 1, left : int(columns[-1]) + margin + 1]
        inside = mask_HW[window].astype(np.uint8)
        inner, outer = (cv2.distanceTransform(part, cv2.DIST_L2, 5) for part in (inside, 1 - inside))
        # signed distance to the outline, which runs between the pixels; positive inside
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

    def _false_masks(self, generator: np.random.Generator, size: tuple[int, int]) -> list[Instance]:
        """Ellipses at random places."""
        instances = []
        for _ in range(generator.poisson(self.damage.false_masks)):
            label = int(generator.integers(len(CLASSES)))
            half = generator.uniform(*FALSE_SIDE, 2) * size[1] / 2
            centre = generator.random(2) * size[::-1]
            row_H1, column_W = np.ogrid[: size[0], : size[1]]
            mask_HW = ((column_W - centre[0]) / half[0]) ** 2 + ((row_H1 - centre[1]) / half[1]) ** 2 <= 1
            score = self._score(FALSE_SCORE, generator.standard_normal())
            if mask_HW.any():
                instances.append(Instance(label, score, mask_HW))
        return instances
