"""A synthetic driving world, ray-cast from one geometry and written as a nuScenes data root.

`make` writes it, `show` draws a contact sheet of one frame.
"""

from dualdistill.world.make import make
from dualdistill.world.show import show

__all__ = ["make", "show"]
