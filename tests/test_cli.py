"""The command line: usage errors, exit codes, and answers without loading torch."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dualdistill.cli import cli, main

QUICK = "import sys; from dualdistill.cli import main; main(sys.argv[1:]); print('torch' in sys.modules)"


def test_help_lists_every_command_in_the_order_of_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listed = re.findall(r"^  ([a-z-]+)  +[A-Z].*\w\.$", capsys.readouterr().out, re.MULTILINE)
    assert listed == list(cli.commands)
    assert listed[:3] == ["world", "world-show", "index"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Usage: dualdistill"),
        (["trian"], "No such command 'trian'. Did you mean 'train'?"),
        (["train"], "Missing argument 'RUN'."),
        (["train", "x", "--log-every", "often"], "'often' is not a valid integer."),
        (["resolve", "--set", "workers"], "--set workers has no value (--set workers=VALUE)"),
        (["resolve", "bevdepth-r5"], "no run or row is named 'bevdepth-r5' (did you mean 'bevdepth-r50'?)"),
        (["world", "--profile", "nuscenes"], "data_root is not set"),
    ],
)
def test_a_usage_error_is_a_sentence_and_exit_code_2(
    words: list[str],
    sentence: str,
    checkout: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(checkout)
    assert main(words) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["status"], ["resolve"]])
def test_help_status_and_resolve_load_no_torch(words: list[str], checkout: Path) -> None:
    line = [sys.executable, "-c", QUICK, *words]
    done = subprocess.run(line, cwd=checkout, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\nFalse\n")


def test_a_reader_that_closes_the_pipe_ends_the_command_quietly(checkout: Path) -> None:
    line = f"set -o pipefail; {sys.executable} -m dualdistill resolve | true"
    done = subprocess.run(["bash", "-c", line], cwd=checkout, capture_output=True, text=True, check=False)
    assert (done.returncode in (0, 141), done.stderr) == (True, "")
