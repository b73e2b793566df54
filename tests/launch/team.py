"""A job of two ranks without torch: `python team.py FOLDER BEHAVIOUR`, for tests of the launcher."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from pathlib import Path

from dualdistill.errors import DataError, UserError
from dualdistill.launch import processes, ranks

FOLDER, BEHAVIOUR = Path(sys.argv[1]), sys.argv[2]
asked = []


def work(until_asked: bool = True, handler: bool = True) -> None:
    """Be busy, with a handler that takes a signal down for later."""
    if handler:
        signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    (FOLDER / f"pid-{ranks.rank()}").write_text(str(os.getpid()))
    while not (asked and until_asked):
        time.sleep(0.02)


def train() -> None:
    """Answer a request to stop by a checkpoint, for which the first rank takes longer than the grace."""
    work()
    # an exiting interpreter drops its handlers: the launcher's own signal would kill it as if it had none
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if ranks.rank() == 0:
        time.sleep(2 * processes.GRACE_S)
        (FOLDER / "checkpoint").touch()
    raise SystemExit(128 + signal.SIGTERM)


def wait_forever() -> None:
    """Wait as for a collective operation of which a rank is missing."""
    work(until_asked=False)


def start_up() -> None:
    """Wait for rank 1, which has no handler yet."""
    work(until_asked=False, handler=ranks.rank() == 0)


def refuse() -> None:
    raise DataError("the index is missing", where="index.npz")


def break_off() -> None:
    """Fail in rank 1, whose end makes the other fail a little later."""
    if ranks.rank() == 1:
        raise ValueError("the cause")
    time.sleep(0.3)
    raise RuntimeError("connection closed by peer")


def finish() -> None:
    (FOLDER / f"done-{ranks.rank()}-of-{ranks.world_size()}").touch()


def main() -> int:
    ranks.begin()
    processes.GRACE_S = 0.5
    try:
        if ranks.is_rank():
            behaviours = (train, wait_forever, start_up, refuse, break_off, finish)
            {behaviour.__name__: behaviour for behaviour in behaviours}[BEHAVIOUR]()
        else:
            processes.run([sys.executable, *sys.argv], 2)
    except UserError as error:
        if not ranks.report(str(error)):
            print(error, file=sys.stderr)
        return error.exit_code
    except Exception:
        ranks.report(traceback.format_exc())
        return processes.TRACEBACK
    return 0


sys.exit(main())
