"""Errors shown to users: one sentence with a place and a hint, and an exit code.

Any module raises them; only the command line catches them. A traceback on the screen is a bug.
"""

from __future__ import annotations


class UserError(Exception):
    """A mistake in the configuration or the command line."""

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what, self.where, self.hint = what, where, hint
        super().__init__(self.sentence())

    def sentence(self) -> str:
        place = f"{self.where}: " if self.where else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}{self.what}{hint}"


class DataError(UserError):
    """A file of the data set, the index or the cache is missing or damaged."""

    exit_code = 3


class CheckpointError(UserError):
    """Weights or training state are damaged or do not belong to the run."""

    exit_code = 4


class NumericsError(UserError):
    """A loss or a gradient is no longer finite."""

    exit_code = 5


class BusyError(UserError):
    """Another process has locked the run."""

    exit_code = 6


class DiskError(UserError):
    """The results folder cannot be written."""

    exit_code = 7


class PeerError(UserError):
    """Another process of the same training has ended."""

    exit_code = 8


class LoaderError(UserError):
    """A process that loads samples has died."""

    exit_code = 9
