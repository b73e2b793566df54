"""One file per finished run, written once, with what later runs and claims need."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualdistill.errors import DataError, UserError
from dualdistill.evidence.pack import Options, pack
from dualdistill.plan.plan import Plan
from dualdistill.store.bundle import read, read_manifest
from dualdistill.store.files import read_json, write_json

ROW = "bevdepth-r50"
STUDENT = {"history.jsonl", "matches.npz", "metrics.json", "run.json", "scene_draws.npz"}


def packing(plan: Plan, into: Path, *names: str, **options: bool) -> list[str]:
    return list(pack(plan, names, into, Options(**options)))


def members(folder: Path, row: str = ROW) -> list[set[str]]:
    return [set(read_manifest(path).members) for path in sorted(folder.glob(f"{row}-s*"))]


def test_every_finished_run_has_a_file_and_teachers_have_their_weights(finished: Plan, packed: Path) -> None:
    rows = finished.table("table_main").rows
    runs = {run for row in rows for run in row.runs}
    assert {path.stem for path in packed.iterdir()} == runs
    assert members(packed) == [STUDENT, STUDENT]
    assert members(packed, "centerpoint") == [{*STUDENT, "model.safetensors"}] * 2


def test_a_manifest_names_the_spec_and_the_machine(finished: Plan, packed: Path) -> None:
    (path, _) = sorted(packed.glob(f"{ROW}-s*"))
    manifest = read_manifest(path)
    run = finished.runs[path.stem]
    assert (manifest.run, manifest.kind, manifest.spec_sha) == (run.id, "student", run.spec.sha)
    assert (manifest.host, manifest.spec["seed"]) == ("night", 0)


def test_the_same_run_gives_the_same_bytes(finished: Plan, tmp_path: Path) -> None:
    for folder in ("one", "other"):
        assert len(packing(finished, tmp_path / folder, ROW)) == 2
    one, other = (
        [path.read_bytes() for path in sorted((tmp_path / name).iterdir())] for name in ("one", "other")
    )
    assert one == other


def test_a_second_call_writes_nothing(finished: Plan, packed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in packed.iterdir()}
    assert list(pack(finished, (), packed, Options())) == []
    assert [line.endswith("has all of it") for line in pack(finished, (ROW,), packed, Options())] == [
        True
    ] * 2
    assert {path: path.stat().st_mtime_ns for path in packed.iterdir()} == before


def test_a_run_that_is_scored_later_is_added_to_its_file(finished: Plan, tmp_path: Path) -> None:
    run = finished.runs[finished.table("table_main").rows[0].runs[0]]
    draws, into = finished.scores(run) / "scene_draws.npz", tmp_path / "evidence"
    content = draws.read_bytes()
    draws.unlink()
    packing(finished, into)
    draws.write_bytes(content)
    (line,) = packing(finished, into)
    assert "scene_draws.npz" in line
    assert members(into, "centerpoint") == [{*STUDENT, "model.safetensors"}] * 2


def test_a_student_waits_for_its_scores_and_a_teacher_does_not(finished: Plan, tmp_path: Path) -> None:
    for row in finished.table("table_main").rows:
        for run in row.runs:
            (finished.scores(finished.runs[run]) / "metrics.json").unlink(missing_ok=True)
    into = tmp_path / "evidence"
    assert ["centerpoint-s" in line for line in packing(finished, into)] == [True, True]
    assert members(into, "centerpoint") == [{"history.jsonl", "model.safetensors", "run.json"}] * 2


def test_figures_of_scenes_take_the_place_of_matches_on_request(finished: Plan, tmp_path: Path) -> None:
    into = tmp_path / "evidence"
    packing(finished, into, ROW, scenes_only=True)
    assert members(into) == [{*STUDENT - {"matches.npz"}, "scenes.json"}] * 2
    assert packing(finished, into) != []  # the others; these two keep what they were packed with
    assert members(into) == [{*STUDENT - {"matches.npz"}, "scenes.json"}] * 2
    _, files = read(next(into.glob(f"{ROW}-s0*")))
    assert files["scenes.json"].count(b'"mean_ap"') == 3
    packing(finished, into, ROW, weights=True)
    assert members(into) == [{*STUDENT, "model.safetensors"}] * 2


def test_a_retrained_run_is_packed_anew_only_by_name(finished: Plan, packed: Path) -> None:
    folder = finished.folder(finished.runs[next(packed.glob(f"{ROW}-s0*")).stem])
    write_json(folder / "run.json", read_json(folder / "run.json") | {"seconds": 1.0})
    (line,) = pack(finished, (), packed, Options())
    assert line.endswith("left, though run.json is of another training now; name the run to pack it")
    assert "MB" in next(iter(pack(finished, (folder.name,), packed, Options())))


def test_contradicting_files_are_not_packed(finished: Plan, tmp_path: Path) -> None:
    run = finished.runs[finished.table("table_main").rows[1].runs[0]]
    (finished.folder(run) / "history.jsonl").write_text("")
    with pytest.raises(DataError, match=r"history\.jsonl: the file is not the one of run\.json"):
        packing(finished, tmp_path / "evidence", run.id)
    assert sum("left out:" in line for line in packing(finished, tmp_path / "evidence")) == 1


def test_an_unfinished_or_unknown_run_is_a_sentence(finished: Plan, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the run is not finished \(run snakemake for it first\)"):
        packing(finished, tmp_path, "mvp")
    with pytest.raises(UserError, match="no run or row is named 'bevdepth-r5'"):
        packing(finished, tmp_path, "bevdepth-r5")
