"""A copy of ./run in a separate folder, with a PATH of chosen tools and a stub for Python.

The script under test is the real one. A small shell script replaces the slow parts (venv, pip); it logs its
calls, and fails or waits on request.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("bash", "cp", "dirname", "env", "flock", "grep", "mkdir", "mv", "rm", "sh", "sleep", "tail")

PYTHON_STUB = """#!/bin/sh
calls="$RECORD/calls"
case "$*" in
    *version_info*) echo "${STUB_VERSION:-3.11.7} $0" ;;
    *ensurepip*) exit "${STUB_VENV_MISSING:-0}" ;;
    *"-m venv"*) echo venv >>"$calls"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python" ;;
    *"-m pip"*)
        echo "pip $*" >>"$calls"
        case "$*" in *"${STUB_SLOW:-never}"*) : >"$RECORD/slow"; sleep "${STUB_SECONDS:-5}" ;; esac
        case "$*" in *"${STUB_FAIL:-never}"*) echo "${STUB_WORDS:-it broke}"; exit 1 ;; esac ;;
esac
"""


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The last line of stderr, which must say what is wrong and what to do about it."""
        assert "Traceback" not in self.err
        assert "line " not in self.err, f"bash complained instead of the script: {self.err}"
        return self.err.strip().splitlines()[-1]


@dataclass
class Clone:
    folder: Path
    tools: Path
    record: Path

    def start(
        self, *command: str, cwd: Path | None = None, **environment: str | None
    ) -> subprocess.Popen[str]:
        settings = {"PATH": str(self.tools), "RECORD": str(self.record)} | environment
        return subprocess.Popen(
            [str(self.folder / "run"), *command],
            cwd=cwd or self.folder,
            env={name: value for name, value in settings.items() if value is not None},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # tests run in the background ignore SIGINT, which their child processes would inherit
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *command: str, cwd: Path | None = None, **environment: str | None) -> Done:
        process = self.start(*command, cwd=cwd, **environment)
        out, err = process.communicate(timeout=120)
        return Done(process.returncode, out, err)

    def calls(self, kind: str = "") -> int:
        record = self.record / "calls"
        return (
            sum(line.startswith(kind) for line in record.read_text().splitlines()) if record.exists() else 0
        )

    def wait_until_slow(self) -> None:
        """Return when the stub waits, in the middle of the set-up."""
        deadline = time.monotonic() + 20
        while not (self.record / "slow").exists():
            assert time.monotonic() < deadline, "the set-up never reached its slow step"
            time.sleep(0.02)

    def tool(self, name: str, script: str) -> None:
        (self.tools / name).unlink(missing_ok=True)
        (self.tools / name).write_text(script)
        (self.tools / name).chmod(0o755)

    def disk(self, free_gb: int) -> None:
        """Report this much free space, so that no test depends on the real disk."""
        self.tool("df", f"#!/bin/sh\necho head\necho /dev/disk 900000000 0 {free_gb * 1024**2} 80% /\n")


def make_clone(parent: Path) -> Clone:
    """A checkout in a path with a space, on a machine without Python and without a compiler."""
    folders = {name: parent / name for name in ("a clone", "tools", "record")}
    for folder in folders.values():
        folder.mkdir()
    for name in ("run", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folders["a clone"] / name)
    for tool in TOOLS:
        path = shutil.which(tool)
        assert path, f"these tests need the tool {tool}"
        os.symlink(path, folders["tools"] / tool)
    clone = Clone(folders["a clone"], folders["tools"], folders["record"])
    clone.disk(free_gb=100)
    return clone
