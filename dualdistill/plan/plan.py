"""The plan: all runs, the tables and claims over them, and the folders of their files.

A run's id hashes its spec (identity.py), so rows that resolve to equal specs share a run.
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
from dualdistill.plan import taken
from dualdistill.plan.identity import data_id, images_id, objects_id, run_id, virtual_id
from dualdistill.plan.tables import Claims, TablesAndClaims, TableSpec
from dualdistill.plan.taken import Taken
from dualdistill.plan.variants import Resolver
from dualdistill.store.records import METRICS_JSON, RUN, WEIGHTS, scores_folder

FIGURES = Path("figures")
KINDS = ("teacher", "labels", "pretrain", "student")  # in the order of listings
WITHOUT_BOXES = {"labels": "a label encoder", "pretrain": "a pre-training"}


@dataclass(frozen=True)
class DataPaths:
    """Locations of the data, which are not part of a spec."""

    root: Path
    index: Path
    cache: Path | None  # None: files are decoded when they are read
    masks: Path | None = None  # instance masks from files

    def virtual(self, spec: RunSpec) -> Path | None:
        """The folder of a run's virtual points, if it has any."""
        return self.index.parent / virtual_id(spec.virtual) if spec.virtual else None

    def images(self, spec: RunSpec) -> Path | None:
        """The folder of the resized images that a run reads, if it does."""
        name = images_id(spec)
        return self.index.parent / name if name else None

    def objects(self, spec: RunSpec) -> Path | None:
        """The folder of the objects pasted in a run's training, if any are."""
        return self.index.parent / objects_id(spec) if spec.pastes else None


@dataclass(frozen=True)
class Run:
    """A training, and its evaluation if it predicts boxes."""

    id: str
    rows: tuple[str, ...]  # rows of variants.yaml that resolve to it; empty if only other runs need it
    spec: RunSpec
    teacher: str | None  # id of the teacher's run
    pretraining: str | None  # id of the run that gives it its initial weights
    label_encoder: str | None  # id of the run that encodes its labels

    @property
    def needs(self) -> tuple[str, ...]:
        """The runs that it learns or starts from."""
        return tuple(name for name in (self.teacher, self.pretraining, self.label_encoder) if name)


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
    named: dict[str, dict[str, str]]  # row, in variants.yaml's order -> backbone, teacher, method in words
    words: Mapping[str, str]  # name in YAML -> printed form
    threads: int
    recipe: str  # the recipe's title
    arguments: str  # command-line arguments that give this plan

    def run(self, name: str) -> Run:
        """A run by its id, or by a row with a single run."""
        if name in self.runs:
            return self.runs[name]
        matches = [run for run in self.runs.values() if name in run.rows]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise UserError(f"row '{name}' has several runs", hint=", ".join(run.id for run in matches))
        known = {*self.runs, *(row for run in self.runs.values() for row in run.rows)}
        raise UserError(f"no run or row is named '{name}'", hint=nearest(name, known))

    def run_with_boxes(self, name: str) -> Run:
        """A run as `run` finds it, refused if it predicts no boxes."""
        run = self.run(name)
        if run.spec.kind in WITHOUT_BOXES:
            raise UserError(f"run '{run.id}' is {WITHOUT_BOXES[run.spec.kind]}: it predicts no boxes")
        self.check_import(run)
        return run

    def table(self, name: str) -> TableSpec:
        if name not in self.tables:
            raise UserError(f"no table is named '{name}'", hint=nearest(name, self.tables))
        return self.tables[name]

    def folder(self, run: Run) -> Path:
        return self.results / "runs" / run.id

    def job_state(self, job: str) -> Path:
        """Folder of the lock and the progress of a job on the data, such as `world`."""
        return self.results / "data" / self.data_id / "state" / job

    def scores(self, run: Run) -> Path:
        """Folder of a run's predictions and scores on the chosen split."""
        return scores_folder(self.folder(run), self.settings.split)

    @property
    def shown(self) -> Path:
        """Folder of the tables for the chosen split."""
        return scores_folder(self.results, self.settings.split)

    @property
    def drawn(self) -> Path:
        """Folder of the figures for the chosen split."""
        return scores_folder(FIGURES, self.settings.split)

    @property
    def scored_split(self) -> str:
        """Name of the chosen split in the devkit."""
        return self.data.splits()[self.settings.split]

    @property
    def measured_on(self) -> str:
        """The data set, with the split if it is not val."""
        split = self.settings.split
        name = self.data.printed_name
        return name if split == "val" else f"{name}, split {split}"

    def teacher_folder(self, run: Run) -> Path | None:
        return self.results / "runs" / run.teacher if run.teacher else None

    def label_encoder_folder(self, run: Run) -> Path | None:
        return self.results / "runs" / run.label_encoder if run.label_encoder else None

    def start_file(self, run: Run) -> Path | None:
        """File of a run's initial weights; None if they are random."""
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

    def check_start(self, run: Run) -> None:
        """Check that a run's file of ImageNet weights exists, because no rule makes it."""
        file = self.start_file(run)
        if file and not run.pretraining and not file.is_file():
            hint = "see imagenet in config/config.yaml"
            raise DataError("the ImageNet weights do not exist", where=str(file), hint=hint)

    def devices(self, run: Run) -> int:
        """Devices of the run's training."""
        return self.settings.devices.of(run.spec.kind)

    def check_devices(self, run: Run) -> None:
        """Check that the run's devices can share its batch, before any other run trains for days."""
        if run.spec.imported is None:
            try:
                run.spec.schedule.parts(max(1, self.devices(run)))
            except UserError as error:
                hint = f"devices.{run.spec.kind} is {self.devices(run)}: {error.hint}"
                raise UserError(error.what, where=f"run {run.id}", hint=hint) from error

    def lacks_import(self, run: Run) -> bool:
        """Whether the run's weights come from a released file that has not been imported yet."""
        return run.spec.imported is not None and not (self.folder(run) / RUN).exists()

    def check_import(self, run: Run) -> None:
        """Check that a released file has been imported, because no rule does it."""
        if self.lacks_import(run):
            row, profile = run.spec.imported, self.settings.profile
            command = f"python -m dualdistill import-checkpoint FILE --as {row} --profile {profile}"
            raise DataError(f"row {row} is imported: {command}")

    def taken(self, run: Run) -> Taken | None:
        """A run that was taken in from a bundle; None for any other."""
        return taken.read(self.folder(run))

    def check_weights(self, run: Run) -> None:
        """Check that a run was not taken in without its weights, because no rule makes them."""
        if known := self.taken(run):
            known.check_weights()

    def check_prediction(self, run: Run) -> None:
        """Check that the boxes of a run that was taken in can be predicted, and are not scored already."""
        if known := self.taken(run):
            known.check_prediction(self.settings.split)

    @property
    def images(self) -> dict[str, int]:
        """Widths of the resized images that runs read, by the name of their folder."""
        specs = (run.spec for run in self.runs.values())
        return {images_id(spec): spec.input.decode for spec in specs if isinstance(spec.input.decode, int)}

    @property
    def virtual(self) -> dict[str, VirtualSpec]:
        """The virtual points of all runs, by the name of their folder."""
        specs = (run.spec.virtual for run in self.runs.values())
        return {virtual_id(virtual): virtual for virtual in specs if virtual}

    @property
    def objects(self) -> dict[str, RunSpec]:
        """A teacher for each database of objects to paste, by the name of its folder."""
        return {objects_id(run.spec): run.spec for run in self.runs.values() if run.spec.pastes}

    def pasted_objects(self, name: str) -> tuple[str, RunSpec]:
        """A database of objects by the name of its folder, or by a run or row that pastes them."""
        if name not in self.objects:
            spec = self.run(name).spec
            if not spec.pastes:
                raise UserError(f"'{name}' pastes no objects", hint=nearest(name, self.objects))
            name = objects_id(spec)
        return name, self.objects[name]

    def virtual_points(self, name: str) -> tuple[str, VirtualSpec]:
        """Virtual points by the name of their folder, or by a run or row that reads them."""
        if name not in self.virtual:
            virtual = self.run(name).spec.virtual
            if virtual is None:
                raise UserError(f"'{name}' has no virtual points", hint=nearest(name, self.virtual))
            name = virtual_id(virtual)
        return name, self.virtual[name]

    def check_masks(self, masks: MaskSpec) -> None:
        """Check that masks from files exist, because no rule makes them."""
        folder = self.settings.masks
        if masks.masks == "file" and folder is None:
            hint = "the folder of instance masks, in config/config.yaml; see docs/methods/mvp.md"
            raise UserError("masks is not set", where=f"profile {self.settings.profile}", hint=hint)
        if masks.masks == "file" and folder and not folder.is_dir():
            hint = "see masks in config/config.yaml"
            raise DataError("the folder of masks does not exist", where=str(folder), hint=hint)

    def check_root(self) -> None:
        """Check that a real data set exists, because no rule makes it."""
        if self.data.world:
            return
        if self.settings.data_root is None:
            hint = f"the folder that holds {self.data.version}/"
            raise UserError("data_root is not set", where=f"profile {self.settings.profile}", hint=hint)
        if not (self.paths.root / self.data.version).is_dir():
            what = f"there is no {self.data.version}/ in data_root"
            raise DataError(what, where=str(self.paths.root), hint="see config/config.yaml")

    def in_all(self, table: TableSpec) -> bool:
        """Whether the target `all` makes a table: one of imported rows only as soon as all are imported.

        Never one that is made on request.
        """
        if table.on_request:
            return False
        runs = [self.runs[run] for row in table.rows for run in row.runs]
        return not all(run.spec.imported for run in runs) or not any(map(self.lacks_import, runs))

    def on_page(self, table: TableSpec) -> bool:
        """Whether the page shows a table: of those made on request, whole ones whose runs are all scored."""
        if not table.on_request:
            return True
        runs = [self.runs[run] for row in table.rows for run in row.runs]
        return not table.part and all((self.scores(run) / METRICS_JSON).exists() for run in runs)

    def shown_runs(self) -> tuple[str, ...]:
        """The runs of the page's tables and of the claims, and those behind them, in the order of the plan.

        Of a table of imported rows, those that have been imported.
        """
        shown = {
            run
            for table in filter(self.on_page, self.tables.values())
            for row in table.rows
            for run in row.runs
            if self.in_all(table) or not self.lacks_import(self.runs[run])
        }
        pairs = (pair for claim in self.claims.claims for pair in claim.pairs)
        shown |= {run for pair in pairs for both in pair.runs for run in both}
        # a run stands before those that depend on it, so a single pass from the end reaches all
        for name in reversed(self.runs):
            if name in shown:
                needs = self.runs[name].needs
                # a run that was taken in needs no other: of those before it, what is here is shown
                whole = self.taken(self.runs[name]) is None
                shown |= {other for other in needs if whole or (self.folder(self.runs[other]) / RUN).exists()}
        return tuple(name for name in self.runs if name in shown)

    def of_kind(self, kind: str) -> list[str]:
        """The runs of a kind that are trained here."""
        runs = (run for run in self.runs.values() if run.spec.kind == kind and not run.spec.imported)
        return [run.id for run in runs if not self.taken(run)]


def load(
    path: Path = Path("config/config.yaml"),
    overrides: Mapping[str, Any] | None = None,
    results: Path = Path("results"),
) -> Plan:
    """Read and check the whole configuration, so that any fault in it is raised before a job starts."""
    config = settings.load(path, overrides)
    resolver = Resolver(config)
    runs = _runs(resolver, config.settings)
    ids = {
        (row, seed): run.id
        for run in runs.values()
        for row in run.rows
        for seed in (config.settings.seeds if run.spec.imported else (run.spec.seed,))
    }
    views = TablesAndClaims(config, resolver, ids)
    data = resolver.data
    folder = results / "data" / data_id(data)
    root = folder / "root" if data.world else config.settings.data_root or Path("data_root-is-not-set")
    cache = folder / "cache" if config.profile.cache else None
    return Plan(
        settings=config.settings,
        results=results,
        data=data,
        data_id=data_id(data),
        paths=DataPaths(root, folder / "index.npz", cache, config.settings.masks),
        runs=runs,
        tables=views.tables,
        claims=views.claims,
        named=views.named,
        words=views.words,
        threads=config.profile.threads,
        recipe=resolver.recipe.title,
        arguments=config.arguments,
    )


def _runs(resolver: Resolver, settings: Settings) -> dict[str, Run]:
    """All runs, each before those that need it, then by id: the order of rows changes nothing."""
    specs: dict[str, RunSpec] = {}
    rows: dict[str, set[str]] = {}
    teachers = {variant.teacher for variant in resolver.variants.values()}
    taught = {settings.teacher_of(seed) for seed in settings.seeds}
    for name in resolver.variants:
        seeds = {*settings.seeds, *(taught if name in teachers else ())}
        for seed in seeds:
            spec = resolver.spec(name, seed)
            specs[run_id(spec)] = spec
            rows.setdefault(run_id(spec), set()).add(name)
            specs |= {run_id(earlier): earlier for earlier in spec.prerequisites()}
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
