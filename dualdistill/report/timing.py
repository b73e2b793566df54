"""Time and memory of a plan's jobs by stage, from the benchmark files of snakemake. Only reads.

Snakemake keeps the last attempt only: of an interrupted training, only the last part is counted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from dualdistill.errors import DataError
from dualdistill.plan.plan import Plan

BENCHMARKS = "benchmarks"
UNKNOWN = ("NA", None)  # memory of a job that ended before snakemake measured it
# of the data; trainings are named by their kind
STAGES = ("world", "index", "cache", "resized images", "virtual points", "objects")


def lines(plan: Plan) -> list[str]:
    """A heading, a line per stage in the plan's order, and the sum."""
    measured = pd.DataFrame(jobs(plan), columns=["stage", "seconds", "memory"])
    if measured.empty:
        return [f"no job of this plan has run under snakemake in {plan.results}"]
    stages = measured.groupby("stage", sort=False).agg(
        jobs=("seconds", "size"),
        minutes=("seconds", lambda seconds: seconds.sum() / 60),
        longest=("seconds", lambda seconds: seconds.max() / 60),
        memory=("memory", lambda memory: memory.max() / 1024),  # NaN is skipped
    )
    text = [f"{'stage':16}  {'jobs':>4}  {'minutes':>8}  {'longest':>8}  {'peak GiB':>8}"]
    for stage in stages.itertuples():
        numbers = f"{stage.jobs:4}  {stage.minutes:8.1f}  {stage.longest:8.1f}  {_gib(stage.memory):>8}"
        text.append(f"{stage.Index:16}  {numbers}")
    total = f"{'all':16}  {len(measured):4}  {measured.seconds.sum() / 60:8.1f}"
    return [*text, f"{total}  of single jobs; side by side they end sooner"]


def jobs(plan: Plan) -> Iterator[tuple[str, float, float]]:
    """Stage, wall seconds and peak MiB (NaN where unknown) of every job of the plan with a benchmark file."""
    data = plan.results / "data" / plan.data_id / BENCHMARKS
    *single, images, virtual, objects = STAGES
    for stage in single:
        yield from _measured(stage, data / f"{stage}.jsonl")
    for stage, folders in ((images, plan.images), (virtual, plan.virtual), (objects, plan.objects)):
        for name in sorted(folders):
            yield from _measured(stage, data / f"{name}.jsonl")
    for run in plan.runs.values():
        yield from _measured(f"train: {run.spec.kind}", plan.folder(run) / BENCHMARKS / "train.jsonl")
    for stage in ("predict", "evaluate"):
        for run in plan.runs.values():
            yield from _measured(stage, plan.scores(run) / BENCHMARKS / f"{stage}.jsonl")
    for path in sorted((plan.shown / BENCHMARKS).glob("*.jsonl")):
        yield from _measured("probe", path)


def _gib(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _measured(stage: str, path: Path) -> Iterator[tuple[str, float, float]]:
    if not path.exists():
        return
    try:
        last = json.loads(path.read_text().splitlines()[-1])
        memory = math.nan if last["max_rss"] in UNKNOWN else float(last["max_rss"])
        yield stage, float(last["s"]), memory
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError("not a measurement of snakemake", where=str(path), hint="delete the file") from error
