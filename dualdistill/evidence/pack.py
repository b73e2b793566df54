"""Pack finished runs into a folder, a file each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from dualdistill.config.run_spec import contents as spec_contents
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

ALWAYS = ("teacher", "labels", "pretrain")  # kinds whose weights later runs need
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
    before = bundle.read_manifest(path) if path.exists() else None
    if before is None or exactly:
        files = _files(run, folder, options, {})
    else:
        files = _files(run, folder, options, before.members)
        if other := [name for name in files if _is_other(before, name, folder)]:
            return f"{path}: left, though {other[0]} is of another training now; name the run to pack it"
        if all(name in before.members for name in files):
            return ""
    members = {name: _member(folder / name, record) for name in files}
    known = plan.taken(run)
    manifest = Manifest(
        run=run.id,
        kind=run.spec.kind,
        spec_sha=run.spec.sha,
        spec=spec_contents(run.spec),
        versions=known.manifest.versions if known else versions(),
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


def _files(run: Run, folder: Path, options: Options, before: Mapping[str, Member]) -> list[str]:
    """The files to pack, by their paths in the run's folder; those of an earlier bundle stay."""
    files = [RUN, *(name for name in (HISTORY, IMPORT_REPORT) if (folder / name).exists())]
    # weights of others travel on request only, as they can be imported again
    if options.weights or WEIGHTS in before or (run.spec.kind in ALWAYS and run.spec.imported is None):
        files.append(WEIGHTS)
    for place in _scored(folder):
        files.append(str(place / METRICS_JSON))
        if (folder / place / SCENE_DRAWS).exists():
            files.append(str(place / SCENE_DRAWS))
        full, thin = str(place / MATCHES), str(place / SCENES)
        thinned = thin in before or (options.scenes_only and full not in before)
        if (folder / full).exists():
            files.append(thin if thinned else full)
        elif (folder / thin).exists():
            files.append(thin)
    return files


def _member(path: Path, record: Mapping[str, Any]) -> tuple[Member, bytes]:
    """A file of the run as a member."""
    if path.name == SCENES and (matches := path.with_name(MATCHES)).exists():
        content = scenes.figures(matches)
        return Member(sha256(content).hexdigest()), content
    if not path.exists():
        raise DataError(
            "the file is not here", where=str(path), hint="train the run, or take it in with weights"
        )
    member, content = contents.packed(path)
    if path.name in record["outputs"] and member.file_sha != record["outputs"][path.name]:
        raise DataError(f"the file is not the one of {RUN}", where=str(path), hint="train the run again")
    return member, content


def _is_other(before: Manifest, name: str, folder: Path) -> bool:
    """Whether a record is not the one that was packed."""
    known = before.members.get(name) if Path(name).name in RECORDS else None
    return known is not None and known.file_sha != sha256_file(folder / name)


def files_in(paths: Sequence[Path]) -> list[Path]:
    """Bundles by name, or all of a folder."""
    files: list[Path] = []
    for path in paths:
        files += sorted(path.glob(f"*{bundle.SUFFIX}")) if path.is_dir() else [path]
    if not files:
        raise UserError(
            f"no bundle in {', '.join(map(str, paths))}", hint=f"files that end in {bundle.SUFFIX}"
        )
    return files
