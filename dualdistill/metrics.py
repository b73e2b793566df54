"""metrics.json: one run's official score with what it was computed from, sealed so that an edited number is noticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dualdistill.errors import DataError
from dualdistill.spec import sha_of
from dualdistill.storage import read_json, write_json

SCHEMA = 1
NAME = "metrics.json"
_NEEDED = ("mean_ap", "nd_score", "tp_errors", "inputs", "spec_sha", "data")


def write_metrics(path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """The record as it was written, with schema and seal."""
    record = {"schema": SCHEMA, **record}
    record["seal"] = sha_of(record)
    write_json(path, record)
    return record


def read_metrics(path: Path) -> dict[str, Any]:
    """A record whose schema is known and whose content is what was measured."""
    record = read_json(path)
    where, again = str(path), "evaluate the run again"
    if not isinstance(record, dict) or not isinstance(record.get("schema"), int):
        raise DataError("not a metrics file of this suite", where=where, hint=again)
    if record["schema"] > SCHEMA:
        made = f"made by a newer version of this suite (schema {record['schema']}, this one reads {SCHEMA})"
        raise DataError(made, where=where, hint="update the suite")
    if record["schema"] < SCHEMA:
        raise DataError(f"schema {record['schema']} is older than {SCHEMA}", where=where, hint=again)
    seal = record.pop("seal", None)
    if seal != sha_of(record):
        raise DataError("the numbers were changed after the evaluation: the seal does not fit", where=where, hint=again)
    if absent := [name for name in _NEEDED if name not in record]:
        raise DataError(f"{absent[0]!r} is missing", where=where, hint=again)
    return record
