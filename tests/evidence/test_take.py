"""A run is taken in as a whole or not at all, and never silently in the place of another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from finished_runs import elsewhere, history, take_all

from dualdistill.errors import BusyError, DataError, UserError
from dualdistill.evaluation.matching import Matches
from dualdistill.evidence.pack import Options, pack
from dualdistill.evidence.take import take
from dualdistill.plan.plan import Plan
from dualdistill.report.collect import gather
from dualdistill.report.renderers import to_csv
from dualdistill.store import bundle
from dualdistill.store.files import read_json, sha_of, write_json
from dualdistill.store.lock import run_lock

ROW = "bevdepth-r50"


@pytest.fixture
def file(packed: Path) -> Path:
    """The bundle of a student."""
    return next(packed.glob(f"{ROW}-s0-*"))


def tree(folder: Path) -> dict[str, bytes]:
    """The files of a folder, without the lock of a take that has ended."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def rewritten(file: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The bundle with other members."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


def with_manifest(file: Path, seal: bool = True, **values: object) -> Path:
    """The bundle with another manifest, which is sealed as if it had been packed so."""

    def change(members: dict[str, bytes]) -> None:
        content = json.loads(members[bundle.MANIFEST]) | values
        old = content.pop("seal")
        content["seal"] = sha_of(content) if seal else old
        members[bundle.MANIFEST] = json.dumps(content).encode()

    return rewritten(file, change)


def with_file(file: Path, name: str) -> Path:
    """The bundle with a further file that its manifest names."""
    rewritten(file, lambda members: members.update({name: b""}))
    members = json.loads(zipfile.ZipFile(file).read(bundle.MANIFEST))["members"]
    return with_manifest(file, members=members | {name: {"sha256": sha256().hexdigest(), "content": None}})


def test_a_clone_makes_the_same_table(finished: Plan, packed: Path, clone: Plan) -> None:
    for line in take_all(clone, packed):
        assert ": took " in line
    assert to_csv(gather(clone, "table_main")) == to_csv(gather(finished, "table_main"))
    run = finished.runs[finished.table("table_main").rows[1].runs[0]]
    there, here = finished.folder(run), clone.folder(run)
    assert Matches.load(here / "matches.npz").sha == Matches.load(there / "matches.npz").sha
    assert (here / "history.jsonl").read_text() == history(steps=10)
    assert not (here / "model.safetensors").exists()


def test_a_second_take_changes_nothing(file: Path, clone: Plan, finished: Plan) -> None:
    take(clone, file)
    before = tree(clone.results)
    assert "nothing to do" in take(clone, file)
    assert tree(clone.results) == before
    assert "nothing to do, run" in take(finished, file)  # trained there
    assert not (finished.results / "runs" / file.stem / "bundle.json").exists()


def test_what_another_file_of_the_run_has_is_added(
    finished: Plan, file: Path, clone: Plan, tmp_path: Path
) -> None:
    take(clone, file)
    list(pack(finished, (file.stem,), tmp_path / "whole", Options(weights=True)))
    assert "took model.safetensors of run" in take(clone, tmp_path / "whole" / file.name)
    taken = clone.taken(clone.runs[file.stem])
    assert taken
    assert taken.has_weights
    assert "nothing to do" in take(clone, file)


def test_a_run_of_another_training_is_replaced_on_request_only(file: Path, clone: Plan) -> None:
    take(clone, file)
    record = clone.results / "runs" / file.stem / "run.json"
    trained = read_json(record)
    trained["provenance"] |= {"host": "day"}
    write_json(record, trained)
    before = tree(clone.results)
    sentence = (
        r"run\.json of run \S+ differs: here it was trained on day at 2026\S+, the file's on night at 2026"
    )
    with pytest.raises(DataError, match=sentence):
        take(clone, file)
    assert tree(clone.results) == before
    take(clone, file, replace=True)
    assert read_json(record)["provenance"]["host"] == "night"
    # the same run stays as it is
    (record.parent / "model.safetensors").touch()
    assert "nothing to do" in take(clone, file, replace=True)
    assert (record.parent / "model.safetensors").exists()


def test_a_half_trained_run_is_kept(file: Path, clone: Plan) -> None:
    head = clone.results / "runs" / file.stem / "state" / "head.json"
    write_json(head, {})
    with pytest.raises(DataError, match=r"is half trained here \(--replace takes the file"):
        take(clone, file)
    assert head.exists()
    with run_lock(head.parent), pytest.raises(BusyError, match="a process works on the run"):
        take(clone, file, replace=True)


def test_a_run_that_no_row_resolves_to_is_taken_and_said(file: Path, clone: Plan) -> None:
    other = elsewhere(clone, clone.results)
    del other.runs[file.stem]
    assert "; no row of profile world with seeds 0,1 resolves to it" in take(other, file)


def test_an_index_that_differs_is_said_and_the_table_is_made(packed: Path, file: Path, clone: Plan) -> None:
    clone.paths.index.parent.mkdir(parents=True)
    clone.paths.index.write_bytes(b"of another processor")
    assert "metrics.json was scored on an index that differs from the one here" in take(clone, file)
    list(take_all(clone, packed))
    assert gather(clone, "table_main").rows


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent": (lambda file: file.unlink(), "the file does not exist"),
    "empty": (lambda file: file.write_bytes(b""), "the bundle cannot be read"),
    "truncated": (lambda file: file.write_bytes(file.read_bytes()[:-100]), "the bundle cannot be read"),
    "another file": (lambda file: file.write_text("run,mAP\n"), "the bundle cannot be read"),
    "another zip": (
        lambda file: rewritten(file, lambda members: members.pop(bundle.MANIFEST)),
        "not a bundle of this suite: it has no manifest",
    ),
    "another format": (
        lambda file: with_manifest(file, format="other"),
        "not a bundle of this suite: its manifest is another's",
    ),
    "a newer schema": (
        lambda file: with_manifest(file, schema=2),
        r"made by a newer version of this suite \(schema 2, this one reads 1\) \(update the suite\)",
    ),
    "another spec": (lambda file: with_manifest(file, spec={"seed": 1}), "its spec is not that of run"),
    "another hash of the spec": (lambda file: with_manifest(file, spec_sha="0" * 64), "its spec is not that"),
    "an edited manifest": (
        lambda file: with_manifest(file, seal=False, kind="teacher"),
        "the manifest was changed after it was packed",
    ),
    "an older evaluation": (
        lambda file: with_manifest(file, versions={"predict": 1, "evaluate": 0}),
        r"scored by versions .* \(use the suite that packed it\)",
    ),
    "an edited score": (
        lambda file: rewritten(
            file,
            lambda members: members.update({"metrics.json": members["metrics.json"].replace(b"0.", b"1.")}),
        ),
        r"metrics\.json in it is not the one of its manifest",
    ),
    "another name": (lambda file: with_manifest(file, run=f"../{file.stem}"), "its spec is not that of run"),
    "a file of no run": (
        lambda file: with_file(file, "../evil.py"),
        r"\.\./evil\.py in it is no file of a run",
    ),
    "a missing member": (
        lambda file: rewritten(file, lambda members: members.pop("matches.npz.planes")),
        "its members are not those of its manifest",
    ),
    "an added member": (
        lambda file: rewritten(file, lambda members: members.update({"../../evil.py": b""})),
        "its members are not those of its manifest",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_file_is_one_sentence_and_changes_nothing(file: Path, clone: Plan, fault: str) -> None:
    spoil, sentence = FAULTS[fault]
    spoil(file)
    with pytest.raises(DataError, match=sentence) as caught:
        take(clone, file)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(file))
    assert tree(clone.results) == {}


def test_any_flipped_bit_is_refused_or_changes_no_content(file: Path, clone: Plan, tmp_path: Path) -> None:
    whole = file.read_bytes()
    take(clone, file)
    expected = tree(clone.results / "runs")
    for place in range(0, len(whole), len(whole) // 40):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << (place % 8)
        file.write_bytes(flipped)
        target = elsewhere(clone, tmp_path / str(place))
        try:
            take(target, file)
        except UserError:
            assert tree(target.results) == {}
        else:
            assert tree(target.results / "runs") == expected


def test_one_faulty_file_does_not_stop_the_others(packed: Path, clone: Plan, file: Path) -> None:
    file.write_bytes(b"")
    lines = take_all(clone, packed)
    said = [next(lines) for _ in range(10)]
    assert sum(": took " in line for line in said) == 9
    assert sum(line.startswith("refused: ") for line in said) == 1
    with pytest.raises(DataError, match=r"1 of 10 bundles were refused \(see above\)"):
        next(lines)


@pytest.mark.parametrize("point", ["record.written", "folder"])
def test_a_killed_take_leaves_nothing_half(made: Plan, file: Path, clone: Plan, point: str) -> None:
    config = made.results.parent / "config" / "config.yaml"
    words = ["--config", config, "--set", "seeds=[0, 1]", "--profile", "world", "--results", clone.results]
    line = [sys.executable, "-m", "dualdistill", "bundle", "take", file, *words]
    done = subprocess.run(line, env=os.environ | {"DUALDISTILL_FAULT": point}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (clone.results / "runs").exists() or not list((clone.results / "runs").iterdir())
    take(clone, file)
    assert clone.taken(clone.runs[file.stem])
    assert {path.name for path in (clone.results / "taking").iterdir()} == {"lock"}
