"""A table's rows from the records of its runs: a number is traced to weights, spec and index, or refused."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from dualdistill.config import METRICS
from dualdistill.errors import DataError
from dualdistill.plan import Plan, TableRow
from dualdistill.records import DEVKIT_NAMES, RESULTS, WEIGHTS, read_metrics, read_run
from dualdistill.records import METRICS as METRICS_FILE
from dualdistill.report.numbers import Score
from dualdistill.spec import StudentSpec
from dualdistill.storage import sha256_file

NOT_COMPARABLE = "synthetic world - not comparable with the poster's numbers"


@dataclass(frozen=True)
class Row:
    """One line of a table; metrics are unrounded in 0..1, reported ones in points as printed."""

    labels: dict[str, str]  # by column name
    block: str  # rows of one block compete for the best number
    score: dict[str, Score]  # by metric; empty when no run is there
    delta: dict[str, Decimal]  # to the baseline row
    reported: dict[str, Decimal]
    reported_delta: dict[str, Decimal]
    run: str
    missing: tuple[str, ...] = ()  # runs of this row that are not there


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    data: str
    synthetic: bool
    recipe: str
    command: str

    def heading(self) -> list[str]:
        """What a reader must know before comparing a number with another one."""
        data = f"{self.data} ({NOT_COMPARABLE})" if self.synthetic else self.data
        counts = [score.n for row in self.rows for score in row.score.values()] or [0]
        fewest, most = min(counts), max(counts)
        seeds = f"{most}" if fewest == most else f"{fewest} to {most}"
        spread = "" if most > 1 else ", so no standard deviation"
        return [
            f"Data: {data}.",
            f"Recipe: {self.recipe}.",
            f"Seeds per row: {seeds}{spread}.",
            "In parentheses the difference to the baseline row; reported: the poster's numbers, on nuScenes.",
            f"Made by: {self.command}",
        ]


def gather(plan: Plan, name: str, *, allow_missing: bool = False) -> Table:
    """The table with every number that its runs have; a hole in it is refused unless it is allowed."""
    view = plan.table(name)
    wanted = dict.fromkeys(run for row in view.rows for run in row.runs)
    records = {
        run: _record(plan, run) for run in wanted if (plan.scores(plan.runs[run]) / METRICS_FILE).exists()
    }
    missing = [run for run in wanted if run not in records]
    if missing and not allow_missing:
        raise DataError(
            f"table '{name}' lacks {len(missing)} of {len(wanted)} runs: {', '.join(missing)}",
            where=str(plan.results / "runs"),
            hint="run snakemake for the table, or allow missing runs and get dashes",
        )
    lines = {row.row: _row(plan, row, records) for row in view.rows}
    rows = tuple(_with_delta(lines[row.row], lines.get(row.baseline or "")) for row in view.rows)
    settings, data = plan.settings, plan.data.name
    notes = [f"profile {settings.profile}"] if settings.profile != data else []
    notes += [f"split {settings.split}"] if settings.split != "val" else []
    return Table(
        title=view.title,
        columns=view.columns,
        rows=rows,
        data=", ".join([data, *notes]),
        synthetic=plan.data.world is not None,
        recipe=plan.settings.recipe,
        command=_command(plan, name),
    )


def _row(plan: Plan, row: TableRow, records: dict[str, dict[str, Any]]) -> Row:
    there = [run for run in row.runs if run in records]
    score = {}
    for name in METRICS if there else ():
        score[name] = Score.over_seeds([records[run][DEVKIT_NAMES[name]] for run in there])
    model = plan.runs[row.runs[0]].spec.model
    return Row(
        labels=row.shown,
        block=f"student r{model.depth}" if isinstance(model, StudentSpec) else "teacher",
        score=score,
        delta={},
        reported={name: _exact(told.value) for name, told in row.reported.items()},
        reported_delta={
            name: _exact(told.delta) for name, told in row.reported.items() if told.delta is not None
        },
        run=" ".join(there),
        missing=tuple(run for run in row.runs if run not in records),
    )


def _with_delta(row: Row, baseline: Row | None) -> Row:
    """The row with its gain; means over different seeds are not subtracted from each other."""
    if baseline is None or row.missing or baseline.missing:
        return row
    gain = {name: row.score[name].mean - baseline.score[name].mean for name in METRICS}
    return replace(row, delta=gain)


def _record(plan: Plan, run: str) -> dict[str, Any]:
    """A run's metrics, if the chain from the number to weights, spec and index holds."""
    wanted = plan.runs[run]
    folder, scores = plan.folder(wanted), plan.scores(wanted)
    trained, metrics = read_run(folder), read_metrics(scores)
    used, made = metrics["inputs"], trained["outputs"]
    promised = {
        "the spec in run.json": (trained["spec_sha"], wanted.spec.sha),
        "the spec in metrics.json": (metrics["spec_sha"], wanted.spec.sha),
        "the data set in metrics.json": (metrics["data"], plan.data_id),
        "the split in metrics.json": (metrics["split"], plan.data.splits()[plan.settings.split]),
        "the weights in metrics.json": (used.get(WEIGHTS), made.get(WEIGHTS)),
    }
    on_disk = {
        RESULTS: scores / RESULTS,
        WEIGHTS: folder / WEIGHTS,
        "index.npz": plan.paths.index,
    }
    for name, path in on_disk.items():
        # a file that was archived cannot contradict; one that is there must agree
        if path.exists():
            promised[f"{name} in metrics.json"] = (used.get(name), sha256_file(path))
    for name, (found, expected) in promised.items():
        if found != expected or found is None:
            raise DataError(
                f"{name} is {str(found)[:12]} and should be {str(expected)[:12]}",
                where=str(scores),
                hint="the files of this run do not belong together: evaluate it again",
            )
    return metrics


def _command(plan: Plan, name: str) -> str:
    """The line that makes this table from nothing."""
    settings = plan.settings
    seeds = ",".join(str(seed) for seed in settings.seeds)
    words = ["snakemake", "--cores", "all", str(plan.shown / f"{name}.csv"), "--config"]
    words += [f"profile={settings.profile}", f"seeds=[{seeds}]"]
    return shlex.join([*words, *([] if settings.split == "val" else [f"split={settings.split}"])])


def _exact(value: float) -> Decimal:
    return Decimal(repr(value))
