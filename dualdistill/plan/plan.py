"""What there is to do: runs by their content, tables as views over them, and where everything lies.

Runs go by their content (names.py), so rows that resolve to equal specs are one run.
Imports neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualdistill.config import settings
from dualdistill.config.run_spec import DataSpec, MaskSpec, RunSpec, StudentSpec, VirtualSpec
from dualdistill.config.settings import Settings
from dualdistill.config.yaml import nearest
from dualdistill.errors import DataError, UserError
from dualdistill.plan.identity import data_id, run_id, virtual_id
from dualdistill.plan.tables import Claims, TablesAndClaims, TableSpec
from dualdistill.plan.variants import Resolver
from dualdistill.store.records import WEIGHTS, scores_folder

FIGURES = Path("figures")
KINDS = ("teacher", "labels", "pretrain", "detector", "student")  # in this order they are listed
WITHOUT_BOXES = {"labels": "a label encoder", "pretrain": "a pre-training"}


@dataclass(frozen=True)
class DataPaths:
    """Where the data of a run lie; not part of its spec."""

    root: Path
    index: Path
    cache: Path | None  # None decodes the files themselves
    masks: Path | None = None  # instance masks from files

    def virtual(self, spec: RunSpec) -> Path | None:
        """The virtual points that a run is given; None where it is given none."""
        return self.index.parent / virtual_id(spec.virtual) if spec.virtual else None


@dataclass(frozen=True)
class Run:
    """One training, and its evaluation if it detects."""

    id: str
    rows: tuple[str, ...]  # the rows of variants.yaml that resolve to it; none where students bring it along
    spec: RunSpec
    teacher: str | None  # the id of its teacher's run
    pretraining: str | None  # the id of the run whose weights it starts from
    label_encoder: str | None  # the id of the run that encodes its labels


@dataclass(frozen=True)
class Plan:
    """Everything that follows from config/."""

    settings: Settings
    results: Path
    data: DataSpec
    data_id: str
    paths: DataPaths
    runs: dict[str, Run]
    tables: dict[str, TableSpec]
    claims: Claims
    named: dict[str, dict[str, str]]  # row of variants.yaml, as it stands there -> what it is, in words
    words: Mapping[str, str]  # how a name is printed
    threads: int
    gpus: int
    recipe: str  # what the recipe compares, in words
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
        if run.spec.kind in WITHOUT_BOXES:
            what = f"run '{run.id}' is {WITHOUT_BOXES[run.spec.kind]}: it predicts no boxes"
            raise UserError(what)
        return run

    def table(self, name: str) -> TableSpec:
        if name not in self.tables:
            raise UserError(f"no table is named '{name}'", hint=nearest(name, self.tables))
        return self.tables[name]

    def folder(self, run: Run) -> Path:
        return self.results / "runs" / run.id

    def job_state(self, job: str) -> Path:
        """The folder in which a job on the data, such as `world`, leaves its lock and its progress."""
        return self.results / "data" / self.data_id / "state" / job

    def scores(self, run: Run) -> Path:
        """The folder of what a run predicted and how it scored on the split that is asked for."""
        return scores_folder(self.folder(run), self.settings.split)

    @property
    def shown(self) -> Path:
        """The folder of the tables that show these scores."""
        return scores_folder(self.results, self.settings.split)

    @property
    def drawn(self) -> Path:
        """The folder of the figures that the workflow draws from them."""
        return scores_folder(FIGURES, self.settings.split)

    @property
    def scored_split(self) -> str:
        """The split of these scores as the devkit calls it."""
        return self.data.splits()[self.settings.split]

    @property
    def measured_on(self) -> str:
        """The data set, with its split where that is not the one on which results are told."""
        split = self.settings.split
        return self.data.name if split == "val" else f"{self.data.name}, split {split}"

    def teacher_folder(self, run: Run) -> Path | None:
        return self.results / "runs" / run.teacher if run.teacher else None

    def label_encoder_folder(self, run: Run) -> Path | None:
        return self.results / "runs" / run.label_encoder if run.label_encoder else None

    def start_file(self, run: Run) -> Path | None:
        """The weights that a run starts from; None where they are random."""
        if run.pretraining:
            return self.results / "runs" / run.pretraining / WEIGHTS
        if isinstance(run.spec.model, StudentSpec) and run.spec.model.start == "imagenet":
            name, file = f"r{run.spec.model.depth}", self.settings.imagenet_file(run.spec.model.depth)
            if file is None:
                what = f"row '{run.rows[0]}' starts from ImageNet weights, and imagenet.{name} is not set"
                hint = "torchvision's file, in config/config.yaml; or model.start: random"
                raise UserError(what, where=f"profile {self.settings.profile}", hint=hint)
            return file
        return None

    def check_starts(self) -> None:
        """ImageNet weights are made by no rule, so they have to be there."""
        for run in self.runs.values():
            file = self.start_file(run)
            if file and not run.pretraining and not file.is_file():
                hint = "see imagenet in config/config.yaml"
                raise DataError("the ImageNet weights do not exist", where=str(file), hint=hint)

    @property
    def virtual(self) -> dict[str, VirtualSpec]:
        """The virtual points of all runs by their folder's name."""
        found = (run.spec.virtual for run in self.runs.values())
        return {virtual_id(virtual): virtual for virtual in found if virtual}

    def virtual_points(self, name: str) -> tuple[str, VirtualSpec]:
        """Virtual points by their folder's name, or by a run or row that is given them."""
        if name not in self.virtual:
            virtual = self.run(name).spec.virtual
            if virtual is None:
                raise UserError(f"'{name}' is given no virtual points", hint=nearest(name, self.virtual))
            name = virtual_id(virtual)
        return name, self.virtual[name]

    def check_masks(self, masks: MaskSpec) -> None:
        """Masks from files are made by no rule, so they have to be there."""
        folder = self.settings.masks
        if masks.masks == "file" and folder is None:
            hint = "the folder of instance masks, in config/config.yaml; see docs/methods/mvp.md"
            raise UserError("masks is not set", where=f"profile {self.settings.profile}", hint=hint)
        if masks.masks == "file" and folder and not folder.is_dir():
            hint = "see masks in config/config.yaml"
            raise DataError("the folder of masks does not exist", where=str(folder), hint=hint)

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

    def shown_runs(self) -> tuple[str, ...]:
        """The runs of all tables and claims with those behind them, in the order of the plan."""
        shown = {run for table in self.tables.values() for row in table.rows for run in row.runs}
        pairs = (pair for claim in self.claims.claims for pair in claim.pairs)
        shown |= {run for pair in pairs for both in pair.runs for run in both}
        # what others need comes first in the plan, so that one pass from its end reaches all of it
        for name in reversed(self.runs):
            if name in shown:
                run = self.runs[name]
                shown |= {one for one in (run.teacher, run.pretraining, run.label_encoder) if one}
        return tuple(name for name in self.runs if name in shown)

    def of_kind(self, kind: str) -> list[str]:
        return [run.id for run in self.runs.values() if run.spec.kind == kind]


def load(
    path: Path = Path("config/config.yaml"),
    overrides: Mapping[str, Any] | None = None,
    results: Path = Path("results"),
) -> Plan:
    """Read and check the whole configuration; every fault in it is raised here, before any job."""
    read = settings.load(path, overrides)
    resolver = Resolver(read)
    runs = _runs(resolver, read.settings)
    ids = {(row, run.spec.seed): run.id for run in runs.values() for row in run.rows}
    views = TablesAndClaims(read, resolver, ids)
    data = resolver.data
    folder = results / "data" / data_id(data)
    root = folder / "root" if data.world else read.settings.data_root or Path("data_root-is-not-set")
    cache = folder / "cache" if read.profile.cache else None
    return Plan(
        settings=read.settings,
        results=results,
        data=data,
        data_id=data_id(data),
        paths=DataPaths(root, folder / "index.npz", cache, read.settings.masks),
        runs=runs,
        tables=views.tables,
        claims=views.claims,
        named=views.named,
        words=views.words,
        threads=read.profile.threads,
        gpus=read.profile.gpus,
        recipe=resolver.recipe.title,
        arguments=read.arguments,
    )


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
            specs |= {run_id(own): own for own in spec.prerequisites()}
    runs = [
        Run(
            name,
            tuple(sorted(rows.get(name, ()))),
            spec,
            teacher=run_id(spec.teacher) if spec.teacher else None,
            pretraining=run_id(spec.pretraining) if spec.pretraining else None,
            label_encoder=run_id(spec.label_encoder) if spec.label_encoder else None,
        )
        for name, spec in specs.items()
    ]
    order = {run.id: (KINDS.index(run.spec.kind), len(run.spec.prerequisites()), run.id) for run in runs}
    return {run.id: run for run in sorted(runs, key=lambda run: order[run.id])}
