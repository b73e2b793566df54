"""A file is whole or absent, and JSON is strict."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dualdistill.errors import DataError, DiskError
from dualdistill.store.files import atomic_write, read_json, replacing, write_json


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    atomic_write(target, "old")
    with pytest.raises(TypeError), replacing(target) as temporary:
        temporary.write_text(None)  # type: ignore[arg-type]
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_a_killed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    atomic_write(target, "old")
    code = (
        "import os, signal, sys, pathlib\n"
        "from dualdistill.store.files import replacing\n"
        "with replacing(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('new')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert target.read_text() == "old"


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    code = (
        "import pathlib, resource, signal, sys\n"
        "from dualdistill.store.files import atomic_write\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "from dualdistill.errors import DiskError\n"
        "try:\n"
        "    atomic_write(pathlib.Path(sys.argv[1]), 'x' * 5000)\n"
        "except DiskError as error:\n"
        "    print(error)\n"
    )
    target = tmp_path / "big"
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)], capture_output=True, text=True, check=True
    )
    assert "cannot write the file" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_disk_errors_have_their_own_exit_code() -> None:
    assert DiskError("full").exit_code == 7


@pytest.mark.parametrize("text", ["", "{", '{"mAP": NaN}', '{"mAP": Infinity}'])
def test_damaged_json_names_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"metrics\.json: not valid JSON"):
        read_json(path)


def test_nan_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "metrics.json", {"mAP": float("nan")})
    assert list(tmp_path.iterdir()) == []
