"""A stand-in for the compiled operations of mmcv, for environments with mmcv-lite.

mmcv-lite 2.1.0 is mmcv without its extension module mmcv._ext. Nothing here calls an operation of it (NMS is
in models/nms.py), but mmdet and mmdet3d look all of them up by name when they are imported. The stand-in has
every name, and calling one raises an error that says what is missing and how to get it.

Python asks the finder below only after all others, so an installed full mmcv is used as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import NoReturn

EXTENSION = "mmcv._ext"


class Finder(MetaPathFinder, Loader):
    """Finder of mmcv._ext where no other finder has it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == "mmcv":
            raise ModuleNotFoundError(
                "neither mmcv nor mmcv-lite is installed: pip install --no-deps mmcv-lite==2.1.0", name=name
            )
        return ModuleSpec(name, self) if name == EXTENSION else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class StandIn(ModuleType):
    """A module with a function of every name."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_: object, **__: object) -> NoReturn:
            raise RuntimeError(
                f"mmcv's compiled operation '{name}' was called, and mmcv-lite has none: "
                "pip uninstall mmcv-lite, then pip install --no-build-isolation mmcv==2.1.0, which compiles"
            )

        return missing


def install() -> None:
    """Register the finder after all others."""
    sys.meta_path.append(Finder())
