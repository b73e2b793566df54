"""A synthetic driving world, ray-cast from one geometry and written as a nuScenes data root.

`make` writes it, `show` draws a contact sheet of one frame.
"""

from pathlib import Path

from dualdistill.world.make import make


def show(root: Path, out_png: Path, scene: str, frame: int) -> None:
    """Draw key frame `frame` (from 0) of the scene named `scene`."""
    # here, because the workers that make a world need no plotting library
    from dualdistill.world import sheet

    sheet.show(root, out_png, scene, frame)


__all__ = ["make", "show"]
