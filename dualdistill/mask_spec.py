"""Whose instance masks, and what is made of them; parts of a spec (spec.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from dualdistill.errors import UserError


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
