"""TensorBoard event files of a training: losses, learning rate and norm of the gradient by step."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from dualdistill.errors import UserError
from dualdistill.store.records import NOT_LOSSES

FOLDER = "tensorboard"  # in the run's folder
FLUSH_S = 10.0


class EventFiles:
    """Writer of the rows of history.jsonl as scalars, to a new file in every process.

    The file opens with the start of a session, at which TensorBoard drops what an earlier process wrote after
    the checkpoint, since those steps are trained again.
    """

    def __init__(self, folder: Path, step: int) -> None:
        try:
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import Event, SessionLog
        except ImportError as error:
            hint = "pip install tensorboardX, or tensorboard: false"
            raise UserError("tensorboard: true needs the package tensorboardX", hint=hint) from error
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        self.new_event = Event
        # not SummaryWriter: it writes from a thread that cannot be awaited, so that a kill after a checkpoint
        # would lose steps for good
        self.writer = EventsWriter(str(folder / FOLDER / "events"), f".{os.getpid()}")
        start = SessionLog(status=SessionLog.START)
        self.writer.write_event(Event(wall_time=time.time(), step=step + 1, session_log=start))
        self.flush()

    def write(self, row: Mapping[str, float]) -> None:
        losses = {f"losses/{name}": row[name] for name in row if name not in NOT_LOSSES}
        others = {name: row[name] for name in NOT_LOSSES[1:] if name in row}
        scalars = {"loss": sum(losses.values()), **others, **losses}
        event = self.new_event(wall_time=time.time(), step=int(row["step"]))
        for name, value in scalars.items():
            event.summary.value.add(tag=name, simple_value=value)
        self.writer.write_event(event)
        if time.monotonic() - self.flushed > FLUSH_S:
            self.flush()

    def flush(self) -> None:
        self.flushed = time.monotonic()
        self.writer.flush()
