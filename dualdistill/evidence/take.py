"""Take bundles into results/: verified first, then a run's folder is there as a whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dualdistill.errors import BusyError, DataError, UserError
from dualdistill.evidence import contents
from dualdistill.plan.plan import Plan
from dualdistill.plan.taken import versions
from dualdistill.store import bundle
from dualdistill.store.bundle import Manifest, Member
from dualdistill.store.files import atomic_write, read_json, replace_folder, sha256_file
from dualdistill.store.lock import is_held, run_lock
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

Files = dict[str, bytes]
FILES = (RUN, WEIGHTS, HISTORY, IMPORT_REPORT, METRICS_JSON, MATCHES, SCENE_DRAWS, SCENES)
FOLDERS = [scores_folder(Path(), split) for split in SCORED]  # in that of a run


@dataclass(frozen=True)
class Bundle:
    """A verified bundle: its manifest and the files of the run."""

    path: Path
    manifest: Manifest
    files: Files


def take(plan: Plan, path: Path, *, replace: bool = False) -> str:
    """Take a bundle in, and return the line for it."""
    taking = plan.results / "taking"
    with run_lock(taking):
        for leftover in (entry for entry in taking.iterdir() if entry.is_dir()):  # of a take that was killed
            shutil.rmtree(leftover)
        staging = taking / bundle.read_manifest(path).run
        try:
            packed = verified(path, staging)
            return _place(plan, packed, staging, replace=replace)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def verified(path: Path, staging: Path) -> Bundle:
    """Unpack a bundle into a folder of its own and check that its files belong together."""
    manifest, members = bundle.read(path)
    try:
        files = {
            name: contents.unpacked(name, manifest.members[name], content)
            for name, content in members.items()
        }
        for name in sorted(files):
            if Path(name).name not in FILES or Path(name).parent not in FOLDERS:
                raise DataError(f"{name} in it is no file of a run")
            atomic_write(staging / name, files[name])
        _check_records(manifest, staging)
    except DataError as error:
        where = "" if error.where.startswith(str(staging)) else error.where
        raise DataError(error.what, where=where or str(path), hint=error.hint or bundle.AGAIN) from error
    return Bundle(path, manifest, files)


def _check_records(manifest: Manifest, folder: Path) -> None:
    """Check the chain from the spec over the weights to the scores."""
    scored = [name for name in manifest.members if Path(name).name == METRICS_JSON]
    if scored and manifest.versions != versions():
        what = f"scored by versions {manifest.versions} of prediction and evaluation"
        raise DataError(f"{what}, and this suite has {versions()}", hint="use the suite that packed it")
    record = read_run(folder)
    weights = record["outputs"].get(WEIGHTS)
    promised = {"the spec of run.json": (record["spec_sha"], manifest.spec_sha)}
    if WEIGHTS in manifest.members:
        promised["the hash of the weights"] = (manifest.members[WEIGHTS].file_sha, weights)
    for name in scored:
        scores = read_metrics((folder / name).parent)
        promised[f"the spec of {name}"] = (scores["spec_sha"], manifest.spec_sha)
        promised[f"the weights of {name}"] = (scores["inputs"].get(WEIGHTS), weights)
    for what, (given, expected) in promised.items():
        if given != expected:
            raise DataError(f"{what} is {str(given)[:12]} and should be {str(expected)[:12]}")


def _place(plan: Plan, packed: Bundle, staging: Path, *, replace: bool) -> str:
    """Bring the files of a verified bundle into the run's folder."""
    manifest, folder = packed.manifest, plan.results / "runs" / packed.manifest.run
    if is_held(folder / "state"):
        raise BusyError("a process works on the run", where=str(folder), hint="wait for it or stop it")
    refusal = _refusal(packed, folder)
    if refusal and not replace:
        raise refusal
    if refusal or not (folder / RUN).exists():
        bundle.keep(staging, manifest)
        if not folder.exists():
            _set_time(staging, packed)
        replace_folder(staging, folder)
        return _line(plan, packed, list(packed.files))
    added = [name for name in packed.files if not (folder / name).exists()]
    if not added:
        return f"{packed.path}: nothing to do, run {manifest.run} is there"
    for name in sorted(added, key=lambda name: name.endswith(METRICS_JSON)):  # scores last
        atomic_write(folder / name, packed.files[name])
    known = bundle.read_kept(folder)
    members = {**(known.members if known else {}), **manifest.members}
    bundle.keep(folder, dataclasses.replace(manifest, members=members))
    return _line(plan, packed, added)


def _refusal(packed: Bundle, folder: Path) -> DataError | None:
    """The error for a run of another training, or one that is in training."""
    manifest, where = packed.manifest, str(packed.path)
    if not (folder / RUN).exists():
        if not (folder / "state" / "head.json").exists():
            return None
        hint = "--replace takes the file, and the checkpoint is lost"
        return DataError(f"run {manifest.run} is half trained here", where=where, hint=hint)
    for name, member in manifest.members.items():
        if (folder / name).exists() and not _is_same(folder / name, member):
            here = _trained(read_json(folder / RUN).get("provenance", {}))
            what = f"{name} of run {manifest.run} differs: here it was trained {here}"
            theirs = f"the file's {_trained(manifest.made_on)}"
            return DataError(f"{what}, {theirs}", where=where, hint="--replace takes the file's")
    return None


def _is_same(path: Path, member: Member) -> bool:
    try:
        return contents.sha_on_disk(path) == member.file_sha
    except DataError:  # damaged here
        return False


def _trained(made_on: dict[str, object]) -> str:
    return f"on {made_on.get('host', 'an unknown host')} at {made_on.get('time', 'an unknown time')}"


def _set_time(staging: Path, packed: Bundle) -> None:
    """Date run.json to its training, so that it is not newer than students that were trained after it."""
    try:
        ended = datetime.fromisoformat(str(packed.manifest.made_on["time"])).timestamp()
    except (KeyError, ValueError):
        return
    os.utime(staging / RUN, (ended, ended))


def _line(plan: Plan, packed: Bundle, files: list[str]) -> str:
    """The line of a bundle that was taken in, with what a user should know of it."""
    run = packed.manifest.run
    notes = []
    if run not in plan.runs:
        notes.append(f"no row of profile {plan.settings.profile} with seeds {_seeds(plan)} resolves to it")
    for name in sorted(packed.files):
        if Path(name).name == METRICS_JSON and plan.paths.index.exists():
            made_with = json.loads(packed.files[name])["inputs"].get("index.npz")
            if run in plan.runs and made_with != sha256_file(plan.paths.index):
                notes.append(f"{name} was scored on an index that differs from the one here")
    remarks = "".join(f"; {note}" for note in notes)
    return f"{packed.path}: took {', '.join(sorted(files))} of run {run}{remarks}"


def _seeds(plan: Plan) -> str:
    return ",".join(str(seed) for seed in plan.settings.seeds)


def each(paths: Sequence[Path], work: Callable[[Path], str]) -> Iterator[str]:
    """A line for each bundle; one that is refused does not stop the others, but is an error at the end."""
    refused: list[UserError] = []
    for path in paths:
        try:
            yield work(path)
        except (DataError, BusyError) as error:
            refused.append(error)
            if len(paths) > 1:
                yield f"refused: {error}"
    if len(paths) == 1 and refused:
        raise refused[0]
    if refused:
        raise DataError(f"{len(refused)} of {len(paths)} bundles were refused", hint="see above")
