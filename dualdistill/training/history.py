"""The history of a training: losses, learning rate and gradient norm, a line of JSON for every step.

It grows in a file of its own beside the checkpoints, which only record where it ended. A resumed run cuts it
back to there, so that a line that was half written, or of a step that is trained again, is gone.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from dualdistill.errors import CheckpointError
from dualdistill.store.files import replacing, writing

FILE = "history.jsonl"
EMPTY: dict[str, Any] = {"bytes": 0, "sha256": hashlib.sha256().hexdigest()}


class History:
    """The file in a run's state folder, open for the lines to come."""

    def __init__(self, folder: Path, end: dict[str, Any] | None = None) -> None:
        self.path, self.length = folder / FILE, (end or EMPTY)["bytes"]
        folder.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        os.truncate(self.path, self.length)
        with self.path.open("rb") as kept:
            self.digest = hashlib.file_digest(kept, "sha256")
        self.stream = self.path.open("ab")

    def append(self, row: dict[str, float]) -> None:
        line = (json.dumps(row, sort_keys=True) + "\n").encode()
        self.length += len(line)
        self.digest.update(line)
        with writing(self.path):
            self.stream.write(line)

    def end(self) -> dict[str, Any]:
        """Where the history ends, for a checkpoint, once it is on the disk up to there."""
        with writing(self.path):
            self.stream.flush()
            os.fsync(self.stream.fileno())
        return {"bytes": self.length, "sha256": self.digest.hexdigest()}

    def copy(self, path: Path) -> None:
        """Leave the finished history among the run's outputs."""
        self.end()
        with replacing(path) as temporary:
            shutil.copyfile(self.path, temporary)


def reaches(folder: Path, state: dict[str, Any]) -> bool:
    """Whether the file in the folder holds the history of a checkpoint, unchanged."""
    end = state["history"]
    if isinstance(end, list):
        raise CheckpointError(
            "an earlier version of this suite wrote the checkpoint, with the whole history in it",
            where=str(folder),
            hint="finish the run with that version, or move the folder away; the run then starts over",
        )
    path, length = folder / FILE, end["bytes"]
    if not path.exists() or path.stat().st_size < length:
        return False
    with path.open("rb") as stream:
        return hashlib.sha256(stream.read(length)).hexdigest() == end["sha256"]
