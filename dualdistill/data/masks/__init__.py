"""Instance masks of images: rendered by the synthetic world, rendered with noise, or read from files.

`open_masks` returns a provider, whose only method is masks(record) -> instances of that image.
"""

from __future__ import annotations

from pathlib import Path

from dualdistill.config.run_spec import MaskSpec
from dualdistill.data.index import Index
from dualdistill.data.masks.noisy import NoisyMasks
from dualdistill.data.masks.provider import Instance, MaskProvider
from dualdistill.data.masks.rendered import RenderedMasks
from dualdistill.data.masks.stored import StoredMasks
from dualdistill.errors import UserError

__all__ = ["Instance", "MaskProvider", "open_masks"]


def open_masks(spec: MaskSpec, index: Index, root: Path, folder: Path | None) -> MaskProvider:
    """Provider of the masks that a spec names; `folder` holds the files of computed masks."""
    if spec.masks == "oracle":
        return RenderedMasks(index, root)
    if spec.masks == "noisy" and spec.damage:
        return NoisyMasks(RenderedMasks(index, root), spec.damage)
    if spec.masks == "file" and folder:
        return StoredMasks(index, folder)
    raise UserError(f"'{spec.masks}' masks are not fully specified", hint="see docs/methods/mvp.md")
