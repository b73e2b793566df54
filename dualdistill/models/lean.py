"""Loading a library without what it would only take along.

mmdet imports scikit-learn for tracking, mmengine torch's sharded optimizer, and both do without them where
they are not installed. Nothing here uses them, and they are a fifth of what a prediction takes to load.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import cast


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Inside, importing these fails as if they were not installed, unless they are loaded already."""
    hidden = [name for name in names if name not in sys.modules]
    # what Python's import system says to an entry that is None
    sys.modules.update(dict.fromkeys(hidden, cast(ModuleType, None)))
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
