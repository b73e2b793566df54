"""Tests side by side, folder by folder.

xdist's own `--dist loadgroup` does nothing with pytest 9.2: it appends the group to an attribute of the test
that pytest no longer reads (xdist 3.8.0).
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling


class FolderScheduling(LoadScopeScheduling):
    """Give the folders below tests/, in the order of the items, each to one process."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


def group(nodeid: str) -> str:
    """The folder of a test below tests/; its file for a test beside the folders."""
    return nodeid.partition("::")[0].removeprefix("tests/").partition("/")[0]
