"""Instance masks of single images, whoever makes them, and the virtual points that they add to a cloud.

`open_masks` gives a provider; a provider has one verb, masks(record) -> instances of that image.
"""

from __future__ import annotations

from pathlib import Path

from dualdistill.data.index import Index
from dualdistill.errors import UserError
from dualdistill.mask_spec import MaskSpec
from dualdistill.masks.base import Instance, MaskProvider
from dualdistill.masks.noisy import Noisy
from dualdistill.masks.stored import Stored

__all__ = ["Instance", "MaskProvider", "open_masks"]


def open_masks(spec: MaskSpec, index: Index, root: Path, folder: Path | None) -> MaskProvider:
    """The masks that a spec names; `folder` is where somebody else's lie."""
    if spec.masks == "oracle":
        return _oracle(index, root)
    if spec.masks == "noisy" and spec.damage:
        return Noisy(_oracle(index, root), spec.damage)
    if spec.masks == "file" and folder:
        return Stored(index, folder)
    raise UserError(f"'{spec.masks}' masks are not described in full", hint="see docs/methods/mvp.md")


def _oracle(index: Index, root: Path) -> MaskProvider:
    # here, because it comes with the renderer, which a process without rendered masks can do without
    from dualdistill.masks.oracle import Oracle

    return Oracle(index, root)
