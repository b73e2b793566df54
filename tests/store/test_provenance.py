"""The record of where a result came from."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dualdistill.store import provenance


def repository(folder: Path) -> Path:
    (folder / "package").mkdir(parents=True)
    (folder / "package" / "code.py").write_text("one = 1\n")
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "Begin"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def test_a_record_names_host_packages_and_time_and_is_plain_json():
    record = json.loads(json.dumps(provenance.collect(), allow_nan=False))
    assert record["host"]
    assert record["cores"] >= record["cores_allowed"] >= 1
    assert record["packages"]["numpy"].startswith("1.26")
    assert record["time"].endswith("+00:00")


@pytest.mark.parametrize("name", ["code.py", "new_method.py"])
def test_a_changed_or_new_file_in_the_package_makes_the_commit_dirty(tmp_path, name):
    package = repository(tmp_path / "repo") / "package"
    clean = provenance.git_state(package)
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (package.parent / "notes.txt").write_text("mine\n")
    assert provenance.git_state(package)["dirty"] is False
    (package / name).write_text("one = 2\n")
    assert provenance.git_state(package) == {"commit": clean["commit"], "dirty": True}


def test_a_folder_without_a_repository_has_no_commit(tmp_path):
    assert provenance.git_state(tmp_path) == {"commit": None, "dirty": None}


def test_a_package_that_is_missing_is_left_out():
    assert provenance.package_versions(("numpy", "no-such-package-here")).keys() == {"numpy"}


def test_collecting_does_not_import_torch():
    ask = "from dualdistill.store import provenance; provenance.collect()"
    check = f"import sys; {ask}; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", check], text=True).strip() == "False"
