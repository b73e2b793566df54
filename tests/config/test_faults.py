"""A fault anywhere in config/ gives a single sentence with file and line and exit code 2, before any job."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from config_faults import FAULTS, FULL, row, spoil

from dualdistill.errors import UserError
from dualdistill.plan import plan


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_gives_one_sentence_with_its_line(folder: Path, fault: str):
    name, change, sentence = FAULTS[fault]
    spoil(folder, name, change)
    started = time.process_time()
    with pytest.raises(UserError) as caught:
        plan.load(folder / "config.yaml")
    assert time.process_time() - started < 2
    where, _, what = str(caught.value).partition(": ")
    path, _, line = where.rpartition(":")
    assert what.startswith(sentence)
    assert path == str(folder / name)
    assert 1 <= int(line) <= len((folder / name).read_text().splitlines())
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"profile": "wrld"}, "command line: unknown profile 'wrld' (did you mean 'world'?)"),
        (
            {"devices": {"student:2": ""}},
            "command line: unknown key 'student:2' in 'devices' (did you mean 'student'?)",
        ),
        ({"profile": ""}, "command line: 'profile' must be text, not null"),
        ({"seed": "1"}, "command line: unknown key 'seed' (did you mean 'seeds'?)"),
        ({"seeds": ["0", "x"]}, "command line: entry 2 in 'seeds' must be a whole number, not the text 'x'"),
    ],
)
def test_a_fault_on_the_command_line_names_the_command_line(folder: Path, overrides: dict, sentence: str):
    with pytest.raises(UserError) as caught:
        plan.load(folder / "config.yaml", overrides)
    assert str(caught.value) == sentence


def command(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "dualdistill", *words]
    env = {**os.environ, **environment}
    return subprocess.run(line, cwd=folder.parent, capture_output=True, text=True, env=env, check=False)


def test_the_command_prints_the_sentence_and_exits_with_2(folder: Path):
    spoil(folder, "variants.yaml", row(f"temp-0.5: {{from: {FULL}, temprature: 0.5}}"))
    line = len((folder / "variants.yaml").read_text().splitlines())
    # processor time, because wall-clock time includes other work on this machine
    before = os.times()
    done = command(folder, "train", FULL)
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 2
    assert done.returncode == 2
    sentence = "unknown key 'temprature' in row 'temp-0.5' (did you mean 'temperature'?)"
    assert done.stderr == f"config/variants.yaml:{line}: {sentence}\n"
    assert not (folder.parent / "results").exists()


def test_python_without_assertions_is_refused(folder: Path):
    done = command(folder, "status", PYTHONOPTIMIZE="1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "python -O" in done.stderr


def test_an_unknown_run_gets_a_suggestion(folder: Path):
    done = command(folder, "train", "bevdepth-r5")
    assert done.returncode == 2
    assert done.stderr == "no run or row is named 'bevdepth-r5' (did you mean 'bevdepth-r50'?)\n"


def test_a_missing_real_data_set_gives_one_sentence(folder: Path):
    done = command(folder, "index", "--profile", "nuscenes")
    assert done.returncode == 2
    assert done.stderr.startswith("profile nuscenes: data_root is not set")
    done = command(folder, "index", "--profile", "nuscenes", "--set", "data_root=elsewhere")
    assert done.returncode == 3
    assert done.stderr.startswith("elsewhere: there is no v1.0-trainval/ in data_root")


def test_a_closed_output_pipe_gives_no_error(folder: Path):
    line = f"{sys.executable} -m dualdistill resolve {FULL} | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=folder.parent, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[0] == "{"
