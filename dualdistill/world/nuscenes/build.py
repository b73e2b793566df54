"""Build a world: record its scenes in parallel and resumably, then merge their tables.

The result depends on the spec alone, not on the number of workers or on interruptions.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dualdistill.config.nuscenes import CLASSES
from dualdistill.config.world import WorldSpec
from dualdistill.errors import DataError, DiskError, UserError
from dualdistill.store.files import atomic_write, read_json, write_json
from dualdistill.store.progress import track
from dualdistill.world.nuscenes import names
from dualdistill.world.nuscenes.record_scene import fingerprint, fragment_path, record_scene
from dualdistill.world.nuscenes.tables import TABLES, shared_tables
from dualdistill.world.scene.sample import SPLITS
from dualdistill.world.sensors.rig import LIDAR, MOUNTS, SOURCE_SIZE

Job = tuple[str, int]
STAGE = "scenes rendered"


def build_world(spec: WorldSpec, root: Path, workers: int, state: Path | None = None) -> None:
    """Write the world of a spec under `root`, and the progress to `state`; finished scenes are kept."""
    _check(spec, workers)
    started = time.monotonic()
    try:
        _make_folders(root, names.version(spec))
        jobs = _jobs(spec)
        missing = [job for job in jobs if not _finished(spec, root, job)]
        _record_scenes(spec, root, missing, workers, state)
        counts = _merge(spec, root, jobs)
    except OSError as error:
        hint = "free space or permissions, then rerun: finished scenes are kept"
        raise DiskError(f"cannot write the world: {error.strerror}", where=str(root), hint=hint) from error
    write_json(
        root / "world.json",
        {
            "spec": asdict(spec),
            "fingerprint": fingerprint(spec),
            "version": names.version(spec),
            "scenes": {split: sum(job[0] == split for job in jobs) for split in SPLITS},
            "boxes": counts,
            "seconds": round(time.monotonic() - started, 1),
        },
    )


def _check(spec: WorldSpec, workers: int) -> None:
    """Refuse sizes or a worker count that the ranges of single knobs allow."""
    if spec.image_height > spec.image_width * SOURCE_SIZE[1] / SOURCE_SIZE[0] + 1:
        size = f"world.image_height is {spec.image_height} for a width of {spec.image_width}"
        raise UserError(f"{size}, but a camera image is at most 16 by 9", where="world")
    if spec.official_names:
        _check_official(spec)
    if workers < 1:
        raise UserError("at least one worker is needed", where="world")


def _check_official(spec: WorldSpec) -> None:
    """Refuse splits that nuScenes does not have, and more scenes than it has."""
    for split, count in _scene_counts(spec).items():
        official = names.OFFICIAL_SPLITS.get(split)
        most = len(names.official_scenes(official)) if official else 0
        if count > most:
            what = f"'{split}' has {count} scenes, and under official names it has at most {most}"
            raise UserError(what, where="world", hint="official_names: false has no such limit")


def _scene_counts(spec: WorldSpec) -> dict[str, int]:
    sizes = (spec.train_scenes, spec.dev_scenes, spec.val_scenes, spec.pretrain_scenes)
    return dict(zip(SPLITS, sizes, strict=True))


def _jobs(spec: WorldSpec) -> list[Job]:
    return [(split, number) for split, count in _scene_counts(spec).items() for number in range(count)]


def _make_folders(root: Path, version: str) -> None:
    (root / "world.json").unlink(missing_ok=True)
    for folder in ("samples", "sweeps"):
        for channel in (LIDAR, *MOUNTS):
            (root / folder / channel).mkdir(parents=True, exist_ok=True)
            if channel != LIDAR:
                (root / "masks" / folder / channel).mkdir(parents=True, exist_ok=True)
    for folder in ("maps", "scenes", version):
        (root / folder).mkdir(exist_ok=True)


def _finished(spec: WorldSpec, root: Path, job: Job) -> bool:
    path = fragment_path(root, *job)
    return path.exists() and read_json(path)["fingerprint"] == fingerprint(spec)


def _record_scenes(spec: WorldSpec, root: Path, jobs: list[Job], workers: int, state: Path | None) -> None:
    if workers == 1 or len(jobs) < 2:
        for job in track(jobs, len(jobs), STAGE, folder=state):
            record_scene(spec, *job, root)
        return
    # spawn: forking a process that holds library threads may hang
    with ProcessPoolExecutor(min(workers, len(jobs)), multiprocessing.get_context("spawn")) as pool:
        running = [pool.submit(record_scene, spec, *job, root) for job in jobs]
        try:
            for done in track(as_completed(running), len(jobs), STAGE, folder=state):
                done.result()
        except BrokenProcessPool as error:
            hint = "out of memory? use fewer workers and rerun: finished scenes are kept"
            raise DataError("a worker died while recording a scene", where=str(root), hint=hint) from error
        finally:
            for waiting in running:
                waiting.cancel()


def _merge(spec: WorldSpec, root: Path, jobs: list[Job]) -> dict[str, dict[str, dict[str, int]]]:
    """Write the tables and the splits; count annotated and hit boxes by split and class."""
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES} | shared_tables()
    kept = names.OFFICIAL_SPLITS if spec.official_names else SPLITS
    splits: dict[str, list[str]] = {names.split_name(spec, split): [] for split in kept}
    counts: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    folder = root / names.version(spec)
    for split, number in jobs:
        fragment = read_json(fragment_path(root, split, number))
        splits[names.split_name(spec, split)].append(fragment["name"])
        counts[split].update(fragment["counts"])
        for name, rows in fragment["tables"].items():
            tables[name] += rows
    for name, rows in tables.items():
        lines = ",\n".join(json.dumps(row, sort_keys=True, allow_nan=False) for row in rows)
        atomic_write(folder / f"{name}.json", f"[\n{lines}\n]\n")
    write_json(folder / "splits.json", splits)
    return {
        split: {name: {kind: boxes[f"{name}/{kind}"] for kind in ("annotated", "hit")} for name in CLASSES}
        for split, boxes in counts.items()
    }
