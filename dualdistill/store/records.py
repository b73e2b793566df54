"""The records beside a result: run.json of the training, metrics.json of the evaluation.

Both carry their schema. metrics.json has a checksum over its content, so that a number edited by
hand is detected.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dualdistill.errors import DataError
from dualdistill.store.files import read_json, sha_of, write_json

WEIGHTS, RUN, RESULTS, METRICS_JSON = "model.safetensors", "run.json", "results_nusc.json", "metrics.json"
HISTORY = "history.jsonl"  # losses, a line per step
MATCHES = "matches.npz"  # between predictions and ground truth, for the figures of any subset of scenes
SCENE_DRAWS = "scene_draws.npz"  # mAP over draws of scenes, for intervals that cover other frames
SCENES = "scenes.json"  # figures of every scene alone
IMPORT_REPORT = "import_report.txt"  # of an imported run
EVENTS = "events.jsonl"  # in state/: starts and failures, which snakemake never deletes
# columns of history.jsonl that are no losses; a step without grad_norm was skipped, its gradient overflowed
NOT_LOSSES = ("step", "lr", "grad_norm", "loss_scale")
SCORED = ("val", "dev")  # splits that are predicted and scored
RUN_SCHEMA = 1
METRICS_SCHEMA = 1
RUN_FIELDS = ("spec_sha", "outputs")
METRICS_FIELDS = ("mean_ap", "nd_score", "tp_errors", "inputs", "spec_sha", "data", "split")
DEVKIT_NAMES = {"mAP": "mean_ap", "NDS": "nd_score"}  # what tables print -> what the devkit writes
AGAIN = "evaluate the run again"


def scores_folder(folder: Path, split: str) -> Path:
    """The folder of predictions and scores: a run's folder for val, its subfolder dev for dev."""
    return folder if split == "val" else folder / split


def read_run(folder: Path) -> dict[str, Any]:
    """The record of the training."""
    return _read(folder / RUN, RUN_SCHEMA, RUN_FIELDS, "train the run again")


def read_metrics(folder: Path) -> dict[str, Any]:
    """The record of the evaluation, checked to be unchanged."""
    path = folder / METRICS_JSON
    record = _read(path, METRICS_SCHEMA, METRICS_FIELDS, AGAIN)
    seal = record.pop("seal", None)
    if seal != sha_of(record):
        what = "the content was changed after the evaluation: its seal does not fit"
        raise DataError(what, where=str(path), hint=AGAIN)
    return record


def write_metrics(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Write the record; return it as `read_metrics` does."""
    record = {"schema": METRICS_SCHEMA, **record}
    write_json(folder / METRICS_JSON, record | {"seal": sha_of(record)})
    return record


def _read(path: Path, schema: int, needed: tuple[str, ...], again: str) -> dict[str, Any]:
    record = read_json(path)
    written = record.get("schema") if isinstance(record, dict) else None
    if not isinstance(written, int):
        raise DataError("not a record of this suite: it has no schema", where=str(path), hint=again)
    if written > schema:
        what = f"made by a newer version of this suite (schema {written}, this one reads {schema})"
        raise DataError(what, where=str(path), hint="update the suite")
    if written < schema:
        what = f"made by an older version of this suite (schema {written} of {schema})"
        raise DataError(what, where=str(path), hint=again)
    if absent := [name for name in needed if name not in record]:
        raise DataError(f"{absent[0]!r} is missing", where=str(path), hint=again)
    kept: dict[str, Any] = record
    return kept
