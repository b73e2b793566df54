"""`python -m MODULE WORDS` without the seconds that libraries take to load.

Each call is a process of its own, forked off one that has loaded them. It forgets what that one has loaded of
this project, so a copy of the checkout runs its own code.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

TESTS = Path(__file__).parent
CONTEXT = multiprocessing.get_context("forkserver")
_libraries: list[str] = []


def load_beforehand(*libraries: str) -> None:
    """To be called while tests are collected: later the process that has loaded them may be there already."""
    _libraries.extend(libraries)
    CONTEXT.set_forkserver_preload(_libraries)


def start(
    module: str, *words: str, folder: Path, out: str = os.devnull, err: str = os.devnull
) -> BaseProcess:
    """The leader of a session, as a command typed in `folder`; its output goes to files."""
    process = CONTEXT.Process(target=_become, args=(module, words, folder, out, err))
    process.start()
    return process


def run(module: str, *words: str, folder: Path) -> CompletedProcess[str]:
    with TemporaryDirectory() as kept:
        out, err = Path(kept, "out"), Path(kept, "err")
        process = start(module, *words, folder=folder, out=str(out), err=str(err))
        process.join()
        return CompletedProcess([module, *words], process.exitcode, out.read_text(), err.read_text())


def _become(module: str, words: tuple[str, ...], folder: Path, out: str, err: str) -> None:
    os.setsid()
    for stream, name in ((1, out), (2, err)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os.chdir(folder)
    # pytest has put the folders of the tests on the path, which a command does not see
    sys.path[:] = [str(folder), *(name for name in sys.path if not Path(name).is_relative_to(TESTS))]
    for name in [name for name in sys.modules if name.split(".")[0] == "dualdistill"]:
        del sys.modules[name]
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
