"""The tables of tables.yaml from the records of their runs.

A number is traced to weights, spec and index; where the files contradict each other it is refused.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from dualdistill.config.run_spec import StudentSpec
from dualdistill.config.views import METRICS
from dualdistill.errors import DataError
from dualdistill.plan.columns import COST, MEASURES, Measure
from dualdistill.plan.plan import Plan
from dualdistill.plan.tables import TableLine, TableSpec
from dualdistill.report.numbers import Score, rounded, span
from dualdistill.report.table import NOT_COMPARABLE, Column, Kind, Measured, Reported, Row, Table
from dualdistill.store.files import sha256_file
from dualdistill.store.records import METRICS_JSON, RESULTS, RUN, WEIGHTS, read_metrics, read_run

PUBLISHED_ON = "nuscenes"  # the data set's name, and its split val
# Points by which an imported row may miss its published score: NMS by distance instead of overlap moves mAP
# by 0.05 (mmdet3d's table of CenterPoint), precision and libraries by tenths, a wrong convention NDS by ten.
TOLERANCE = Decimal("0.5")


@dataclass(frozen=True)
class Evidence:
    """The two records of a scored run, checked to belong together."""

    metrics: dict[str, Any]
    trained: dict[str, Any]


class Records:
    """The records of a plan's runs, each read and checked once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._read: dict[str, Evidence] = {}

    def get(self, run: str) -> Evidence | None:
        """The records of a run; None if it has no score yet."""
        if run not in self._read and (self.plan.scores(self.plan.runs[run]) / METRICS_JSON).exists():
            self._read[run] = _checked(self.plan, run)
        return self._read.get(run)

    def select(self, runs: Iterable[str], user: str, *, allow_missing: bool = False) -> dict[str, Evidence]:
        """The records of these runs; a missing one is refused unless allowed."""
        runs = list(runs)
        records = {run: record for run in runs if (record := self.get(run))}
        missing = [run for run in runs if run not in records]
        if missing and not allow_missing:
            raise DataError(
                f"{user} lacks {len(missing)} of {len(runs)} runs: {', '.join(missing)}",
                where=str(self.plan.results / "runs"),
                hint="run snakemake for it, or allow missing runs and get dashes",
            )
        return records


def gather(
    plan: Plan,
    name: str,
    *,
    only: Collection[str] = (),
    allow_missing: bool = False,
    records: Records | None = None,
) -> Table:
    """A table, or only some of its rows, with all numbers of its runs."""
    spec = plan.table(name)
    if only:
        spec = replace(spec, rows=tuple(line for line in spec.rows if line.row in only))
    wanted = dict.fromkeys(run for line in spec.rows for run in line.runs)
    if any(MEASURES[measure].record == "teacher" for measure in spec.measures):
        wanted |= dict.fromkeys(teacher for run in wanted if (teacher := plan.runs[run].teacher))
    known = records or Records(plan)
    evidence = known.select(wanted, f"table '{name}'", allow_missing=allow_missing)
    rows = {line.row: _row(plan, spec, line, evidence) for line in spec.rows}
    compared = tuple(_with_gains(plan, rows[line.row], rows.get(line.baseline or "")) for line in spec.rows)
    table = Table(
        name=name,
        title=spec.title,
        columns=_columns(spec, published=plan.measured_on == PUBLISHED_ON),
        rows=compared,
        about=about(plan, plan.shown / f"{name}.csv"),
        synthetic=plan.data.synthetic,
    )
    return replace(table, preface=tuple(_preface(plan, spec, table, evidence)))


def about(plan: Plan, file: Path) -> dict[str, str]:
    """Everything that all rows of a table share, with the command that makes its file."""
    return {
        "data": plan.measured_on,
        "profile": plan.settings.profile,
        "recipe": plan.settings.recipe,
        "command": command(plan, file),
    }


def provenance(plan: Plan) -> list[str]:
    """The first sentences above a printed table."""
    data = f"{plan.measured_on} ({NOT_COMPARABLE})" if plan.data.synthetic else plan.measured_on
    settings = plan.settings
    return [f"Data: {data}; profile: {settings.profile}.", f"Recipe: {settings.recipe} ({plan.recipe})."]


def command(plan: Plan, file: Path) -> str:
    """The command that makes a file of results/ from nothing; the workflow writes to no other folder."""
    settings = plan.settings
    seeds = ",".join(str(seed) for seed in settings.seeds)
    words = ["snakemake", "--cores", "all", str(Path("results") / file.relative_to(plan.results))]
    chosen = [f"profile={settings.profile}", f"recipe={settings.recipe}", f"seeds=[{seeds}]"]
    chosen += [] if settings.split == "val" else [f"split={settings.split}"]
    return shlex.join([*words, "--config", *chosen])


def _columns(spec: TableSpec, *, published: bool) -> tuple[Column, ...]:
    """The columns of a table; on the data of published scores, those of imported rows too."""
    measures = [MEASURES[name] for name in spec.measures]
    prefixes = {"difference": "delta", "ratio": "ratio"}
    reported = [name for name in METRICS if name in spec.measures]
    compared = reported if published and any(line.imported for line in spec.rows) else []
    return (
        *(Column(name, Kind.LABEL, spec.headings[name]) for name in spec.columns),
        *(Column(name, Kind.MEAN, spec.headings[name]) for name in spec.measures),
        *(Column(f"{name}_std", Kind.STD, cell=name) for name in spec.measures),
        Column("n_seeds", Kind.SEEDS, "n"),
        *(
            Column(f"{prefixes[measure.gain]}_{measure.name}", Kind.GAIN, cell=measure.name)
            for measure in measures
            if measure.gain
        ),
        *(Column(f"reported_{name}", Kind.REPORTED, spec.headings[name], name) for name in reported),
        *(Column(f"reported_delta_{name}", Kind.REPORTED_GAIN, cell=name) for name in reported),
        *(
            Column(f"distance_{name}", Kind.DISTANCE, f"{spec.headings[name]} from reported", name)
            for name in compared
        ),
        Column("damaged", Kind.DAMAGED),
        Column("remark", Kind.REMARK),
        *(Column(name, Kind.ABOUT) for name in ("data", "profile", "recipe")),
        Column("run", Kind.RUNS),
        Column("command", Kind.ABOUT),
    )


def _preface(plan: Plan, spec: TableSpec, table: Table, evidence: Mapping[str, Evidence]) -> list[str]:
    """Sentences to read before comparing numbers."""
    seeds = [row.seeds for row in table.rows]
    several = max(seeds, default=0) > 1
    spread = "; ± is the standard deviation over them" if several else ", so no standard deviation"
    lines = [*provenance(plan), f"Seeds per row: {span(seeds)}{spread}."]
    kinds = {MEASURES[name].gain for name in spec.measures}
    if gains := [word for word in ("difference", "ratio") if word in kinds]:
        lines.append(f"In parentheses the {' or '.join(gains)} to the baseline row, taken before rounding.")
    if table.has_reported:
        whose = "published" if any(row.imported for row in table.rows) else "the poster's"
        lines.append(f"Reported: {whose} numbers, on nuScenes.")
    if table.of_kind(Kind.DISTANCE):
        lines += acceptance(table)
    velocities = [row.measured["mAVE"].value for row in table.rows if "mAVE" in row.measured]
    if velocities and min(velocities) >= 1:
        says = "mAVE is 1 m/s or more in every row, where NDS gives velocity no credit"
        lines.append(f"{says}: velocity is not learned here, and its errors are descriptive.")
    if COST & set(spec.measures) and evidence:
        beside = "of one training each, beside whatever else ran there"
        machines = "; ".join(_machines(evidence.values()))
        lines.append(f"Wall-clock time and peak memory on {machines}, {beside}.")
    return [*lines, f"Made by: {table.about['command']}"]


def acceptance(table: Table) -> list[str]:
    """A sentence on which imported rows meet their published scores."""
    met, missed = [], []
    for row in table.rows:
        distances = {name: row.distance(name) for name in METRICS}
        known = {name: distance for name, distance in distances.items() if distance is not None}
        label = " ".join(filter(None, (row.labels.get(column.key, "") for column in table.labels)))
        off = [
            f"{name} {rounded(value, sign=True)}" for name, value in known.items() if abs(value) > TOLERANCE
        ]
        if off:
            missed.append(f"{label} ({', '.join(off)})")
        elif known:
            met.append(label)
    groups = (f"Within {TOLERANCE} points of the published scores", met), (f"Not within {TOLERANCE}", missed)
    return [f"{says}: {'; '.join(rows)}." for says, rows in groups if rows]


def _row(plan: Plan, spec: TableSpec, line: TableLine, evidence: Mapping[str, Evidence]) -> Row:
    runs = tuple(run for run in line.runs if run in evidence)
    measured = {}
    for measure in (MEASURES[name] for name in spec.measures):
        if values := _values(plan, measure, runs, evidence):
            measured[measure.name] = Measured(measure, Score.over_seeds(values))
    model = plan.runs[line.runs[0]].spec.model
    printed = {
        name: line.reported[name] for name in METRICS if name in spec.measures and name in line.reported
    }
    return Row(
        labels=line.shown,
        measured=measured,
        reported={
            name: Reported(
                exact(number.value),
                None if number.delta is None else exact(number.delta),
                number.certainty == "inferred",
            )
            for name, number in printed.items()
        },
        block=f"student r{model.depth}" if isinstance(model, StudentSpec) else "teacher",
        runs=runs,
        missing=tuple(run for run in line.runs if run not in evidence),
        remark=line.remark,
        imported=line.imported,
    )


def _values(
    plan: Plan, measure: Measure, runs: Sequence[str], evidence: Mapping[str, Evidence]
) -> list[float]:
    """One number per run, or none if a run lacks it; a teacher that the runs share counts once."""
    values: list[float | None]
    if measure.record == "teacher":
        teachers = dict.fromkeys(teacher for run in runs if (teacher := plan.runs[run].teacher))
        values = [measure.find(evidence[run].metrics) if run in evidence else None for run in teachers]
    elif measure.record == "before":
        values = [_seconds_before(plan, run) for run in runs]
    elif measure.record == "run":
        values = [measure.find(evidence[run].trained) for run in runs]
    else:
        values = [measure.find(evidence[run].metrics) for run in runs]
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else []


def _seconds_before(plan: Plan, run: str) -> float | None:
    """Duration of all trainings that must precede this one; None where one of them has not ended."""
    folders = [plan.folder(plan.runs[earlier]) for earlier in sorted(_behind(plan, run))]
    if not all((folder / RUN).exists() for folder in folders):
        return None
    return float(sum(read_run(folder).get("seconds", 0.0) for folder in folders))


def _behind(plan: Plan, run: str) -> set[str]:
    """The initial weights, teacher and label encoder of a run, and all runs behind these."""
    spec = plan.runs[run]
    needed = {name for name in (spec.pretraining, spec.teacher, spec.label_encoder) if name}
    return needed.union(*(_behind(plan, name) for name in needed))


def _with_gains(plan: Plan, row: Row, baseline: Row | None) -> Row:
    """The row with its gains; means over different seeds are not compared with each other.

    The poster prints few differences: where it has both numbers but no difference, it is computed from them.
    """
    if baseline is None:
        return row
    reported = {
        name: replace(number, gain=number.value - baseline.reported[name].value)
        if number.gain is None and name in baseline.reported
        else number
        for name, number in row.reported.items()
    }
    row = replace(row, reported=reported)
    ours, theirs = ([plan.runs[run].spec.seed for run in each.runs] for each in (row, baseline))
    if ours != theirs and not (row.imported or baseline.imported):
        return row
    measured = {
        name: replace(cell, gain=_gain(cell, baseline.measured[name])) if name in baseline.measured else cell
        for name, cell in row.measured.items()
    }
    return replace(row, measured=measured)


def _gain(cell: Measured, baseline: Measured) -> Decimal | None:
    ours, before = cell.score.mean, baseline.score.mean
    if cell.measure.gain == "difference":
        return ours - before
    return ours / before if cell.measure.gain == "ratio" and before else None


def _checked(plan: Plan, run: str) -> Evidence:
    """A run's records, if the chain from the number to weights, spec and index holds."""
    planned = plan.runs[run]
    folder, scores = plan.folder(planned), plan.scores(planned)
    trained, metrics = read_run(folder), read_metrics(scores)
    inputs, outputs = metrics["inputs"], trained["outputs"]
    promised = {
        "the spec in run.json": (trained["spec_sha"], planned.spec.sha),
        "the spec in metrics.json": (metrics["spec_sha"], planned.spec.sha),
        "the data set in metrics.json": (metrics["data"], plan.data_id),
        "the split in metrics.json": (metrics["split"], plan.scored_split),
        "the weights in metrics.json": (inputs.get(WEIGHTS), outputs.get(WEIGHTS)),
    }
    on_disk = {
        RESULTS: scores / RESULTS,
        WEIGHTS: folder / WEIGHTS,
        "index.npz": plan.paths.index,
    }
    if plan.taken(planned):
        del on_disk["index.npz"]  # its machine rendered the same world, whose last bits are the processor's
    for name, path in on_disk.items():
        # a file that was archived cannot contradict; one that exists must agree
        if path.exists():
            promised[f"{name} in metrics.json"] = (inputs.get(name), sha256_file(path))
    for name, (recorded, expected) in promised.items():
        if recorded != expected or recorded is None:
            raise DataError(
                f"{name} is {str(recorded)[:12]} and should be {str(expected)[:12]}",
                where=str(scores),
                hint="the files of this run do not belong together: evaluate it again",
            )
    return Evidence(metrics, trained)


def _machines(records: Iterable[Evidence]) -> list[str]:
    """The hardware of the trainings, without the names of hosts."""
    machines = set()
    for record in records:
        made_on = record.trained.get("provenance", {})
        devices = ", ".join(made_on.get("devices", ())) or f"CPU, {made_on.get('threads', '?')} thread(s)"
        kind = f"{made_on.get('machine', 'unknown machine')}, {made_on.get('cores', '?')} cores"
        machines.add(f"{kind}, {devices}")
    return sorted(machines)


def exact(value: float) -> Decimal:
    """The shortest decimal number that reads back as this one."""
    return Decimal(repr(value))
