"""Pack finished runs into a folder, a file each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from dualdistill.errors import DataError, UserError
from dualdistill.evidence import contents, scenes
from dualdistill.plan.plan import Plan, Run
from dualdistill.plan.taken import versions
from dualdistill.store import bundle
from dualdistill.store.bundle import Manifest, Member
from dualdistill.store.files import sha256_file
from dualdistill.store.records import (
    HISTORY,
    IMPORT_REPORT,
    MATCHES,
    METRICS_JSON,
    RUN,
    SCENE_DRAWS,
    SCENES,
    SCORED,
    WEIGHTS,
    read_metrics,
    read_run,
    scores_folder,
)

ALWAYS = ("teacher", "labels", "pretrain", "detector")  # kinds whose weights later runs need
RECORDS = (RUN, METRICS_JSON)  # small, and another training has others


@dataclass(frozen=True)
class Options:
    weights: bool = False
    scenes_only: bool = False  # figures of scenes in place of matches


def pack(plan: Plan, names: Sequence[str], into: Path, options: Options) -> Iterator[str]:
    """Pack the named runs and rows, or all that are finished; a line for every file written or left.

    Without names, files that lack nothing are passed over after a look at their manifests.
    """
    for run in _chosen(plan, names):
        path = into / f"{run.id}{bundle.SUFFIX}"
        try:
            written = _pack_run(plan, run, path, options, exactly=bool(names))
        except DataError as error:
            if names:
                raise
            written = f"{path}: left out: {error}"
        if written:
            yield written


def _chosen(plan: Plan, names: Sequence[str]) -> list[Run]:
    if not names:
        return [run for run in plan.runs.values() if _is_finished(plan, run)]
    chosen = []
    for name in names:
        rows = [run for run in plan.runs.values() if name in run.rows]
        chosen += rows or [plan.run(name)]
    return list({run.id: run for run in chosen}.values())


def _is_finished(plan: Plan, run: Run) -> bool:
    """Trained; a student scored as well. The weights of others are needed before their scores are."""
    folder = plan.folder(run)
    if not (folder / RUN).exists():
        return False
    return run.spec.kind in ALWAYS or any(_scored(folder))


def _scored(folder: Path) -> list[Path]:
    """The run's folders of scores, relative to it."""
    places = [scores_folder(Path(), split) for split in SCORED]
    return [place for place in places if (folder / place / METRICS_JSON).exists()]


def _pack_run(plan: Plan, run: Run, path: Path, options: Options, *, exactly: bool) -> str:
    """Pack a run unless its file is there; return the line for it, empty if there is nothing to say."""
    folder = plan.folder(run)
    record = _checked(run, folder)
    files = _files(run, folder, record, options)
    before = bundle.read_manifest(path) if path.exists() else None
    if before and not exactly:
        other = [name for name in files if Path(name).name in RECORDS and _is_other(before, name, folder)]
        if other:
            return f"{path}: left, though {other[0]} is of another training now; name the run to pack it"
        if all(name in before.members or _replaced(name, before) for name in files):
            return ""
    members = {name: contents.packed(folder / name) for name in files if Path(name).name != SCENES}
    for name in files:
        if Path(name).name == SCENES:
            members[name] = _figures(folder / name)
    manifest = Manifest(
        run=run.id,
        kind=run.spec.kind,
        spec_sha=run.spec.sha,
        spec=record["spec"],
        versions=versions(),
        made_on=record.get("provenance", {}),
        members={name: member for name, (member, _) in members.items()},
    )
    if before == manifest:
        return f"{path}: has all of it"
    bundle.write(path, manifest, {name: content for name, (_, content) in members.items()})
    return f"{path}: {path.stat().st_size / 1e6:.2f} MB, {', '.join(sorted(members))}"


def _checked(run: Run, folder: Path) -> dict[str, Any]:
    """The record of a run, if run and scores belong together."""
    if not (folder / RUN).exists():
        raise DataError("the run is not finished", where=str(folder), hint="run snakemake for it first")
    record = read_run(folder)
    if record["spec_sha"] != run.spec.sha:
        raise DataError("the record belongs to another run", where=str(folder / RUN))
    for place in _scored(folder):
        scores = read_metrics(folder / place)
        if scores["inputs"].get(WEIGHTS) != record["outputs"].get(WEIGHTS):
            what = "the scores are of other weights than the run's"
            raise DataError(what, where=str(folder / place), hint="predict and evaluate the run again")
    return record


def _files(run: Run, folder: Path, record: dict[str, Any], options: Options) -> list[str]:
    """The files to pack, by their paths in the run's folder."""
    files = [RUN, *(name for name in (HISTORY, IMPORT_REPORT) if (folder / name).exists())]
    # weights of others travel on request only, as they can be imported again
    if options.weights or (run.spec.kind in ALWAYS and run.spec.imported is None):
        if not (folder / WEIGHTS).exists() or sha256_file(folder / WEIGHTS) != record["outputs"].get(WEIGHTS):
            raise DataError("the weights of run.json are not here", where=str(folder / WEIGHTS))
        files.append(WEIGHTS)
    for place in _scored(folder):
        files += [str(place / METRICS_JSON)]
        files += [str(place / SCENE_DRAWS)] if (folder / place / SCENE_DRAWS).exists() else []
        if options.scenes_only or not (folder / place / MATCHES).exists():
            files += [str(place / SCENES)] if _has_scenes(folder / place) else []
        else:
            files += [str(place / MATCHES)]
    return files


def _has_scenes(scores: Path) -> bool:
    return (scores / MATCHES).exists() or (scores / SCENES).exists()


def _figures(path: Path) -> tuple[Member, bytes]:
    """Figures of every scene alone, from the matches beside them; as they are where the matches are gone."""
    matches = path.with_name(MATCHES)
    content = scenes.figures(matches) if matches.exists() else path.read_bytes()
    return Member(sha256(content).hexdigest()), content


def _is_other(before: Manifest, name: str, folder: Path) -> bool:
    return name in before.members and before.members[name].file_sha != sha256_file(folder / name)


def _replaced(name: str, before: Manifest) -> bool:
    """Whether a file holds figures of scenes in the place of these matches."""
    path = Path(name)
    return path.name == MATCHES and str(path.with_name(SCENES)) in before.members


def files_in(paths: Sequence[Path]) -> list[Path]:
    """Bundles by name, or all of a folder."""
    found: list[Path] = []
    for path in paths:
        found += sorted(path.glob(f"*{bundle.SUFFIX}")) if path.is_dir() else [path]
    if not found:
        raise UserError(
            f"no bundle in {', '.join(map(str, paths))}", hint=f"files that end in {bundle.SUFFIX}"
        )
    return found
