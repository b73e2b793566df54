"""Run `python -m MODULE WORDS` without waiting for libraries to load.

Each call is a new process, forked from a server that has loaded them. It unloads this project's modules, so
that a copy of the checkout runs the copy's code.
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
    """Choose libraries to load. Call it while tests are collected, before the server starts."""
    _libraries.extend(libraries)
    CONTEXT.set_forkserver_preload(_libraries)


def start(
    module: str,
    *words: str,
    folder: Path,
    out: str = os.devnull,
    err: str = os.devnull,
    env: dict[str, str] | None = None,
) -> BaseProcess:
    """Start a command in a folder as the leader of a session; its output goes to files."""
    process = CONTEXT.Process(target=_become, args=(module, words, folder, out, err, env or {}))
    process.start()
    return process


def run(module: str, *words: str, folder: Path, env: dict[str, str] | None = None) -> CompletedProcess[str]:
    """Run a command in a folder and capture its output."""
    with TemporaryDirectory() as outputs:
        out, err = Path(outputs, "out"), Path(outputs, "err")
        process = start(module, *words, folder=folder, out=str(out), err=str(err), env=env)
        process.join()
        return CompletedProcess([module, *words], process.exitcode, out.read_text(), err.read_text())


def _become(
    module: str, words: tuple[str, ...], folder: Path, out: str, err: str, env: dict[str, str]
) -> None:
    os.setsid()
    os.environ.update(env)
    for stream, name in ((1, out), (2, err)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os.chdir(folder)
    # pytest adds the folders of the tests to the path; a command does not see them
    sys.path[:] = [str(folder), *(name for name in sys.path if not Path(name).is_relative_to(TESTS))]
    for name in [name for name in sys.modules if name.split(".")[0] == "dualdistill"]:
        del sys.modules[name]
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
