"""What there is to do: runs by their content, tables as views over them, and where everything lies.

A run is named <label>-s<seed>-<ten digits of its spec's hash>; rows that resolve to equal specs are one run.
Imports neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dualdistill import config, registry, versions
from dualdistill.config import Config, Reported, Settings
from dualdistill.document import nearest
from dualdistill.errors import DataError, UserError
from dualdistill.records import WEIGHTS, scores_folder
from dualdistill.resolve import Resolver
from dualdistill.spec import ClassifierSpec, DataSpec, RunSpec, StudentSpec, sha_of

DIGITS = 10
KINDS = ("teacher", "pretrain", "student")  # in this order they are listed
COLUMNS = ("backbone", "method", "base", "teacher")  # beside the options of methods


@dataclass(frozen=True)
class DataPaths:
    """Where the data of a run lie; not part of its spec."""

    root: Path
    index: Path
    cache: Path | None  # None decodes the files themselves


@dataclass(frozen=True)
class Run:
    """One training, and its evaluation if it detects."""

    id: str
    rows: tuple[str, ...]  # the rows of variants.yaml that resolve to it; a pre-training has none
    spec: RunSpec
    teacher: str | None  # the id of its teacher's run
    pretraining: str | None  # the id of the run whose backbone it starts from


@dataclass(frozen=True)
class TableRow:
    """A line of a table."""

    row: str  # of variants.yaml
    shown: dict[str, str]  # column -> text as it is printed
    runs: tuple[str, ...]  # run ids, one per seed
    baseline: str | None  # the row whose line the deltas are taken against
    reported: dict[str, Reported]  # metric -> the poster's number; empty where it has none


@dataclass(frozen=True)
class Table:
    """A view over runs."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]


@dataclass(frozen=True)
class Plan:
    """Everything that follows from config/."""

    settings: Settings
    results: Path
    data: DataSpec
    data_id: str
    paths: DataPaths
    runs: dict[str, Run]
    tables: dict[str, Table]
    threads: int
    gpus: int
    arguments: str  # the command-line words that lead back to this plan

    def run(self, name: str) -> Run:
        """A run by its id, or by a row that has only one."""
        if name in self.runs:
            return self.runs[name]
        found = [run for run in self.runs.values() if name in run.rows]
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError(f"row '{name}' has several runs", hint=", ".join(run.id for run in found))
        known = {*self.runs, *(row for run in self.runs.values() for row in run.rows)}
        raise UserError(f"no run or row is named '{name}'", hint=nearest(name, known))

    def detector(self, name: str) -> Run:
        """A run that predicts boxes."""
        run = self.run(name)
        if run.spec.kind == "pretrain":
            raise UserError(f"run '{run.id}' is a pre-training: it predicts no boxes")
        return run

    def table(self, name: str) -> Table:
        if name not in self.tables:
            raise UserError(f"no table is named '{name}'", hint=nearest(name, self.tables))
        return self.tables[name]

    def folder(self, run: Run) -> Path:
        return self.results / "runs" / run.id

    def scores(self, run: Run) -> Path:
        """The folder of what a run predicted and how it scored on the split that is asked for."""
        return scores_folder(self.folder(run), self.settings.split)

    @property
    def shown(self) -> Path:
        """The folder of the tables that show these scores."""
        return scores_folder(self.results, self.settings.split)

    def teacher_folder(self, run: Run) -> Path | None:
        return self.results / "runs" / run.teacher if run.teacher else None

    def start_file(self, run: Run) -> Path | None:
        """The weights that a run's backbone starts from; None where they are random."""
        if run.pretraining:
            return self.results / "runs" / run.pretraining / WEIGHTS
        if isinstance(run.spec.model, StudentSpec) and run.spec.model.start == "imagenet":
            name = f"r{run.spec.model.depth}"
            if name not in self.settings.imagenet:
                what = f"row '{run.rows[0]}' starts from ImageNet weights, and imagenet.{name} is not set"
                hint = "torchvision's file, in config/config.yaml; or model.start: random"
                raise UserError(what, where=f"profile {self.settings.profile}", hint=hint)
            return self.settings.imagenet[name]
        return None

    def check_starts(self) -> None:
        """ImageNet weights are made by no rule, so they have to be there."""
        for run in self.runs.values():
            file = self.start_file(run)
            if file and not run.pretraining and not file.is_file():
                hint = "see imagenet in config/config.yaml"
                raise DataError("the ImageNet weights do not exist", where=str(file), hint=hint)

    def check_root(self) -> None:
        """A real data set is made by no rule, so it has to be there."""
        if self.data.world:
            return
        if self.settings.data_root is None:
            hint = f"the folder that holds {self.data.version}/"
            raise UserError("data_root is not set", where=f"profile {self.settings.profile}", hint=hint)
        if not (self.paths.root / self.data.version).is_dir():
            what = f"there is no {self.data.version}/ in data_root"
            raise DataError(what, where=str(self.paths.root), hint="see config/config.yaml")

    def of_kind(self, kind: str) -> list[str]:
        return [run.id for run in self.runs.values() if run.spec.kind == kind]


def load(
    path: Path = Path("config/config.yaml"),
    overrides: Mapping[str, Any] | None = None,
    results: Path = Path("results"),
) -> Plan:
    """Read and check the whole configuration; every fault in it is raised here, before any job."""
    read = config.load(path, overrides)
    resolver = Resolver(read)
    runs = _runs(resolver, read.settings)
    data = resolver.data
    data_id = f"{data.name}-{sha_of({'data': asdict(data), 'versions': versions.of_data(data)})[:DIGITS]}"
    folder = results / "data" / data_id
    profile = read.profile.value
    root = folder / "root" if data.world else read.settings.data_root or Path("data_root-is-not-set")
    return Plan(
        settings=read.settings,
        results=results,
        data=data,
        data_id=data_id,
        paths=DataPaths(root, folder / "index.npz", folder / "cache" if profile["cache"] else None),
        runs=runs,
        tables=_tables(read, resolver, runs),
        threads=profile["threads"],
        gpus=profile["gpus"],
        arguments=read.arguments,
    )


def label(spec: RunSpec) -> str:
    """What a run is called, from what it is."""
    if isinstance(spec.model, ClassifierSpec):
        return f"pretrain-r{spec.model.depth}"
    if not isinstance(spec.model, StudentSpec):
        return "centerpoint"
    student = f"r{spec.model.depth}"
    if spec.distill is None or spec.teacher is None:
        return f"bevdepth-{student}"
    return f"{spec.distill.method}-{student}-{label(spec.teacher)}"


def run_id(spec: RunSpec) -> str:
    return f"{label(spec)}-s{spec.seed}-{spec.sha[:DIGITS]}"


def _runs(resolver: Resolver, settings: Settings) -> dict[str, Run]:
    """What others need comes first, otherwise by name: the order of rows changes nothing."""
    specs: dict[str, RunSpec] = {}
    rows: dict[str, set[str]] = {}
    teachers = {variant.teacher for variant in resolver.variants.values()}
    for name in resolver.variants:
        seeds = {*settings.seeds, settings.teacher_seed} if name in teachers else settings.seeds
        for seed in seeds:
            spec = resolver.spec(name, seed)
            specs[run_id(spec)] = spec
            rows.setdefault(run_id(spec), set()).add(name)
            if spec.pretraining:
                specs[run_id(spec.pretraining)] = spec.pretraining
    runs = [
        Run(
            name,
            tuple(sorted(rows.get(name, ()))),
            spec,
            teacher=run_id(spec.teacher) if spec.teacher else None,
            pretraining=run_id(spec.pretraining) if spec.pretraining else None,
        )
        for name, spec in specs.items()
    ]
    return {run.id: run for run in sorted(runs, key=lambda run: (KINDS.index(run.spec.kind), run.id))}


def _tables(read: Config, resolver: Resolver, runs: Mapping[str, Run]) -> dict[str, Table]:
    tables = {}
    for name, table in read.tables.value["tables"].items():
        _check_table(read, resolver, name, table)
        rows = tuple(
            TableRow(
                row=line["row"],
                shown=_shown(read, resolver, line["row"], table["columns"]),
                runs=tuple(run_id(resolver.spec(line["row"], seed)) for seed in read.settings.seeds),
                baseline=line.get("baseline"),
                reported=read.reported[line["reported"]] if "reported" in line else {},
            )
            for line in table["rows"]
        )
        tables[name] = Table(name, table["title"], tuple(table["columns"]), rows)
    return tables


def _check_table(read: Config, resolver: Resolver, name: str, table: Mapping[str, Any]) -> None:
    """Every row, baseline, reported line and column that a table names exists."""
    shown = [line["row"] for line in table["rows"]]
    for number, line in enumerate(table["rows"]):
        known = {"row": resolver.variants, "baseline": shown, "reported": read.reported}
        for key, names in known.items():
            if key in line and line[key] not in names:
                what = f"table '{name}' names the unknown {key} '{line[key]}'"
                where = read.tables.where(("tables", name, "rows", number, key))
                raise UserError(what, where=where, hint=nearest(line[key], names))
    columns = {*COLUMNS, *(option.name for found in registry.methods().values() for option in found)}
    for number, column in enumerate(table["columns"]):
        if column not in columns:
            what = f"table '{name}' has the unknown column '{column}'"
            where = read.tables.where(("tables", name, "columns", number))
            raise UserError(what, where=where, hint=nearest(column, columns))


def _shown(read: Config, resolver: Resolver, row: str, columns: Iterable[str]) -> dict[str, str]:
    """What names a line, column by column, in the words of tables.yaml."""
    variant, words = resolver.variants[row], read.tables.value["names"]
    options = registry.fill(variant.method, variant.options) if variant.method else {}
    values: dict[str, Any] = {
        **options,
        "backbone": variant.backbone,
        "method": variant.method or variant.model,
        "base": variant.model if variant.method else None,
        "teacher": resolver.variants[variant.teacher].model if variant.teacher else None,
    }
    return {column: _word(values.get(column), words) for column in columns}


def _word(value: Any, words: Mapping[str, str]) -> str:
    if value is None:
        return ""
    text = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
    return words.get(text, text)
