"""Instance masks of single images, whoever makes them, and the virtual points that they add to a cloud.

`open_masks` gives a provider; a provider has one verb, masks(record) -> instances of that image.
"""

from __future__ import annotations

from pathlib import Path

from dualdistill.config.run_spec import MaskSpec
from dualdistill.data.index import Index
from dualdistill.data.masks.noisy import Noisy
from dualdistill.data.masks.provider import Instance, MaskProvider
from dualdistill.data.masks.rendered import Oracle
from dualdistill.data.masks.stored import Stored
from dualdistill.errors import UserError

__all__ = ["Instance", "MaskProvider", "open_masks"]


def open_masks(spec: MaskSpec, index: Index, root: Path, folder: Path | None) -> MaskProvider:
    """The masks that a spec names; `folder` is where somebody else's lie."""
    if spec.masks == "oracle":
        return Oracle(index, root)
    if spec.masks == "noisy" and spec.damage:
        return Noisy(Oracle(index, root), spec.damage)
    if spec.masks == "file" and folder:
        return Stored(index, folder)
    raise UserError(f"'{spec.masks}' masks are not described in full", hint="see docs/methods/mvp.md")
