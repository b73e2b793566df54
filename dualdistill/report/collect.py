"""A table's rows from the records of its runs: a number is traced to weights, spec and index, or refused."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from dualdistill.config.run_spec import StudentSpec
from dualdistill.errors import DataError
from dualdistill.plan.columns import COST, MEASURES, Measure
from dualdistill.plan.plan import Plan
from dualdistill.plan.tables import METRICS, TableRow
from dualdistill.report.numbers import Score, span
from dualdistill.store.files import sha256_file
from dualdistill.store.records import METRICS as METRICS_FILE
from dualdistill.store.records import RESULTS, RUN, WEIGHTS, read_metrics, read_run

NOT_COMPARABLE = "synthetic world - not comparable with the poster's numbers"


@dataclass(frozen=True)
class Evidence:
    """What a run left behind, once its files are sure to belong together."""

    metrics: dict[str, Any]
    trained: dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One line of a table; measures are unrounded as recorded, reported ones in points as printed."""

    labels: dict[str, str]  # by column name
    block: str  # rows of one block compete for the best number
    score: dict[str, Score]  # by measure; empty when no run is there
    delta: dict[str, Decimal]  # gain over the baseline row: a difference or a ratio, as the measure has it
    reported: dict[str, Decimal]
    reported_delta: dict[str, Decimal]
    run: str
    missing: tuple[str, ...] = ()  # runs of this row that are not there
    inferred: frozenset[str] = frozenset()  # reported metrics whose print is damaged
    remark: str = ""  # on the row's method

    @property
    def seeds(self) -> int:
        return max((score.n for score in self.score.values()), default=0)


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    headings: dict[str, str]  # of every column and measure, as people read it
    rows: tuple[Row, ...]
    data: str
    synthetic: bool
    recipe: str
    compares: str  # what the recipe does, in words
    command: str
    profile: str = ""
    measures: tuple[str, ...] = METRICS
    machines: tuple[str, ...] = ()  # that times and memory were taken on

    def heading(self) -> list[str]:
        """What a reader must know before comparing a number with another one."""
        data = f"{self.data} ({NOT_COMPARABLE})" if self.synthetic else self.data
        seeds = [row.seeds for row in self.rows]
        several = max(seeds, default=0) > 1
        spread = "; ± is the standard deviation over them" if several else ", so no standard deviation"
        lines = [
            f"Data: {data}; profile: {self.profile}.",
            f"Recipe: {self.recipe} ({self.compares}).",
            f"Seeds per row: {span(seeds)}{spread}.",
        ]
        if any(MEASURES[name].gain for name in self.measures):
            kinds = {MEASURES[name].gain for name in self.measures}
            gains = [word for word in ("difference", "ratio") if word in kinds]
            lines.append(
                f"In parentheses the {' or '.join(gains)} to the baseline row, taken before rounding."
            )
        if any(row.reported for row in self.rows) and set(METRICS) & set(self.measures):
            lines.append("Reported: the poster's numbers, on nuScenes.")
        if self.machines:
            beside = "of one training each, beside whatever else ran there"
            lines.append(f"Wall-clock time and peak memory on {'; '.join(self.machines)}, {beside}.")
        return [*lines, f"Made by: {self.command}"]


def gather(plan: Plan, name: str, *, only: Collection[str] = (), allow_missing: bool = False) -> Table:
    """The table, or some rows only, with all numbers that the runs have; a hole is refused unless allowed."""
    view = plan.table(name)
    if only:
        view = replace(view, rows=tuple(row for row in view.rows if row.row in only))
    wanted = dict.fromkeys(run for row in view.rows for run in row.runs)
    if any(MEASURES[measure].record == "teacher" for measure in view.measures):
        wanted |= dict.fromkeys(teacher for run in wanted if (teacher := plan.runs[run].teacher))
    records = evidence(plan, f"table '{name}'", wanted, allow_missing=allow_missing)
    measures = [MEASURES[measure] for measure in view.measures]
    lines = {row.row: _row(plan, row, measures, records) for row in view.rows}
    rows = tuple(_with_delta(lines[row.row], lines.get(row.baseline or "")) for row in view.rows)
    return Table(
        title=view.title,
        columns=view.columns,
        headings=view.headings,
        rows=rows,
        data=plan.measured_on,
        synthetic=plan.data.world is not None,
        recipe=plan.settings.recipe,
        compares=plan.recipe,
        command=command(plan, plan.shown / f"{name}.csv"),
        profile=plan.settings.profile,
        measures=view.measures,
        machines=_machines(records.values()) if COST & set(view.measures) else (),
    )


def evidence(
    plan: Plan, view: str, wanted: Iterable[str], *, allow_missing: bool = False
) -> dict[str, Evidence]:
    """What the runs of a view left behind; one that is missing is refused unless that is allowed."""
    wanted = list(wanted)
    there = [run for run in wanted if (plan.scores(plan.runs[run]) / METRICS_FILE).exists()]
    found = {run: measured(plan, run) for run in there}
    missing = [run for run in wanted if run not in found]
    if missing and not allow_missing:
        raise DataError(
            f"{view} lacks {len(missing)} of {len(wanted)} runs: {', '.join(missing)}",
            where=str(plan.results / "runs"),
            hint="run snakemake for it, or allow missing runs and get dashes",
        )
    return found


def _row(plan: Plan, row: TableRow, measures: Sequence[Measure], records: Mapping[str, Evidence]) -> Row:
    there = [run for run in row.runs if run in records]
    score = {}
    for measure in measures:
        values = _values(plan, measure, there, records)
        if values:
            score[measure.name] = Score.over_seeds(values)
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
        inferred=frozenset(name for name, told in row.reported.items() if told.certainty == "inferred"),
        remark=row.remark,
    )


def _values(
    plan: Plan, measure: Measure, runs: Sequence[str], records: Mapping[str, Evidence]
) -> list[float]:
    """One number per run, or none if one of them lacks it; of the teacher that runs share, one in all."""
    if measure.record == "teacher":
        teachers = dict.fromkeys(teacher for run in runs if (teacher := plan.runs[run].teacher))
        found = [measure.find(records[run].metrics) if run in records else None for run in teachers]
    elif measure.record == "before":
        found = [_seconds_before(plan, run) for run in runs]
    elif measure.record == "run":
        found = [measure.find(records[run].trained) for run in runs]
    else:
        found = [measure.find(records[run].metrics) for run in runs]
    values = [value for value in found if value is not None]
    return values if len(values) == len(found) else []


def _seconds_before(plan: Plan, run: str) -> float | None:
    """What the trainings took without which this one cannot start."""
    folders = [plan.folder(plan.runs[earlier]) for earlier in sorted(_behind(plan, run))]
    if not all((folder / RUN).exists() for folder in folders):
        return None
    return float(sum(read_run(folder)["seconds"] for folder in folders))


def _behind(plan: Plan, run: str) -> set[str]:
    """What a run starts from, its teacher and its label encoder, with what is behind these."""
    own = plan.runs[run]
    needed = {one for one in (own.pretraining, own.teacher, own.label_encoder) if one}
    return needed.union(*(_behind(plan, one) for one in needed))


def _with_delta(row: Row, baseline: Row | None) -> Row:
    """The row with its gains; means over different seeds are not compared with each other.

    The poster prints few differences: where it has both numbers and no difference, theirs is taken.
    """
    if baseline is None:
        return row
    theirs = baseline.reported
    told = {name: value - theirs[name] for name, value in row.reported.items() if name in theirs}
    row = replace(row, reported_delta=told | row.reported_delta)
    if row.missing or baseline.missing:
        return row
    gain = {}
    for name in row.score.keys() & baseline.score.keys():
        ours, before, kind = row.score[name].mean, baseline.score[name].mean, MEASURES[name].gain
        if kind == "difference":
            gain[name] = ours - before
        elif kind == "ratio" and before:
            gain[name] = ours / before
    return replace(row, delta=gain)


def measured(plan: Plan, run: str) -> Evidence:
    """A run's records, if the chain from the number to weights, spec and index holds."""
    wanted = plan.runs[run]
    folder, scores = plan.folder(wanted), plan.scores(wanted)
    trained, metrics = read_run(folder), read_metrics(scores)
    used, made = metrics["inputs"], trained["outputs"]
    promised = {
        "the spec in run.json": (trained["spec_sha"], wanted.spec.sha),
        "the spec in metrics.json": (metrics["spec_sha"], wanted.spec.sha),
        "the data set in metrics.json": (metrics["data"], plan.data_id),
        "the split in metrics.json": (metrics["split"], plan.scored_split),
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
    return Evidence(metrics, trained)


def _machines(records: Iterable[Evidence]) -> tuple[str, ...]:
    """What the runs were trained on, without the names of hosts."""
    found = set()
    for record in records:
        where = record.trained.get("provenance", {})
        devices = ", ".join(where.get("devices", ())) or f"CPU, {where.get('threads', '?')} thread(s)"
        found.add(f"{where.get('machine', 'unknown machine')}, {where.get('cores', '?')} cores, {devices}")
    return tuple(sorted(found))


def command(plan: Plan, file: Path) -> str:
    """The line that makes a file of results/ from nothing; the workflow writes to no other folder."""
    settings = plan.settings
    seeds = ",".join(str(seed) for seed in settings.seeds)
    words = ["snakemake", "--cores", "all", str(Path("results") / file.relative_to(plan.results))]
    chosen = [f"profile={settings.profile}", f"recipe={settings.recipe}", f"seeds=[{seeds}]"]
    chosen += [] if settings.split == "val" else [f"split={settings.split}"]
    return shlex.join([*words, "--config", *chosen])


def _exact(value: float) -> Decimal:
    return Decimal(repr(value))
