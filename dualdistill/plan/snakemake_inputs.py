"""Functions for the rules in workflow/: inputs by wildcard, hashes for params, patterns for wildcards.

A params hash covers everything that no input file holds, such as a stage version or the runs of a table, so
that a change there runs the job again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dualdistill.config.run_spec import MaskSpec, RunSpec
from dualdistill.config.yaml import nearest
from dualdistill.errors import UserError
from dualdistill.plan import figures, identity, reader_names
from dualdistill.plan.columns import MEASURES
from dualdistill.plan.figures import FigureView
from dualdistill.plan.identity import DIGITS
from dualdistill.plan.plan import FIGURES, WITHOUT_BOXES, Plan, Run
from dualdistill.plan.tables import Claims, TableSpec
from dualdistill.store.files import sha_of
from dualdistill.store.records import METRICS_JSON, RESULTS, RUN, SCENE_DRAWS, SCORED, scores_folder

PACKAGE = Path(__file__).parents[1]
REPORT = PACKAGE / "report"
CHARTS = REPORT / "figures"
SHARED = ("draw.py", "layout.py", "table_charts.py", "bev_maps.py")  # used by every chart
FORMATS = ("pdf", "svg", "png")
TRAINED = ("model.safetensors", "history.jsonl", "run.json")
CLAIMS = ("claims", "claims_pairs")  # files of the claims, beside the tables
NEVER = "(?!)"  # pattern that matches nothing


def one_of(names: Iterable[str]) -> str:
    """A pattern that matches any of the names."""
    return "|".join(map(re.escape, names)) or NEVER


class Jobs:
    """Jobs for runs, tables, claims and page; methods with wildcards are input or params functions."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.names = reader_names.names(plan.runs)
        self.taken = {run.id: known for run in plan.runs.values() if (known := plan.taken(run))}
        self.data_ids = one_of([plan.data_id])
        self.world_ids = one_of([plan.data_id] if plan.data.world else [])
        self.images_ids = one_of(plan.images)
        self.virtual_ids = one_of(plan.virtual)
        self.objects_ids = one_of(plan.objects)
        self.cached_ids = one_of([plan.data_id] if plan.paths.cache else [])
        self.teachers = one_of(plan.of_kind("teacher"))
        self.label_encoders = one_of(plan.of_kind("labels"))
        self.pretrainings = one_of(plan.of_kind("pretrain"))
        self.students = one_of(plan.of_kind("student"))
        self.with_boxes = one_of(run.id for run in plan.runs.values() if self.is_scored_here(run))
        self.runs = one_of(plan.runs)
        self.tables = one_of(plan.tables)
        self.scored = str(scores_folder(plan.results / "runs" / "{run}", plan.settings.split))
        self.shown = str(plan.shown)
        self.prediction_devices = plan.settings.devices.predict
        self.prediction_threads = plan.threads * max(1, self.prediction_devices)
        self.views = [f"{self.shown}/{name}.csv" for name in (*filter(self.in_all, plan.tables), *CLAIMS)]
        # editing the code behind tables, claims, figures and page makes them again, and nothing else
        written = [*REPORT.glob("*.py"), *(REPORT / "claims").glob("*.py")]
        self.report_source = sorted(map(str, [PACKAGE / "plan" / "columns.py", *written]))
        page_source = [*(REPORT / "html").glob("*.*"), CHARTS / "curves.py", CHARTS / "draw.py"]
        self.page_source = [*self.report_source, *sorted(map(str, page_source))]

    def tables_of_root(self, wildcards: Any) -> list[str]:
        """Inputs of the index: the world's manifest, or nothing for a real root, which no rule makes."""
        return [str(self.plan.paths.root / "world.json")] if self.plan.data.world else []

    def training_data(self, wildcards: Any) -> list[str]:
        """Data that a run reads in training."""
        run = self._run(wildcards)
        folder = self.plan.paths.objects(run.spec)
        objects = [str(folder / "objects.json")] if folder else []
        made = [self.plan.folder(run) / name for name in TRAINED]
        return self._unless_made(made, [*self.data(run), *objects])

    def training_devices(self, wildcards: Any) -> int:
        """Devices of a training, which snakemake counts as its resource gpu."""
        return self.plan.devices(self._run(wildcards))

    def training_threads(self, wildcards: Any) -> int:
        """Threads of all processes of a training."""
        return self.plan.threads * max(1, self.training_devices(wildcards))

    def objects_data(self, wildcards: Any) -> list[str]:
        """Data that objects to paste are cut from."""
        return [*self._index(), *self._virtual(self.plan.objects[wildcards.objects])]

    def prediction_data(self, wildcards: Any) -> list[str]:
        """Data that a run reads to predict boxes."""
        run = self._run(wildcards)
        # a student reads virtual points in training only
        camera = [*self._index(), *self._cache(), *self._images(run.spec)]
        data = self.data(run) if run.spec.kind == "teacher" else camera
        return self._unless_made([self.plan.scores(run) / RESULTS], data)

    def evaluation_data(self, wildcards: Any) -> list[str]:
        """Data that the evaluation reads."""
        output = self.plan.scores(self._run(wildcards)) / METRICS_JSON
        return self._unless_made([output], self._index())

    def _run(self, wildcards: Any) -> Run:
        return self.plan.runs[wildcards.run]

    def _unless_made(self, outputs: Iterable[Path], data: list[str]) -> list[str]:
        """The data of a job, or nothing once its outputs exist: their names hash the data, so they are valid.

        If the data were always inputs, deleting the cache would train every run again; marked ancient(), they
        would make snakemake stop early after an interrupted world job.
        """
        return [] if all(path.exists() for path in outputs) else data

    def data(self, run: Run) -> list[str]:
        """Manifests of all data that a run reads in training."""
        return [*self._index(), *self._cache(), *self._images(run.spec), *self._virtual(run.spec)]

    def _index(self) -> list[str]:
        return [*self.tables_of_root(None), str(self.plan.paths.index)]

    def _images(self, spec: RunSpec) -> list[str]:
        folder = self.plan.paths.images(spec)
        return [str(folder / "images.json")] if folder else []

    def _virtual(self, spec: RunSpec) -> list[str]:
        folder = self.plan.paths.virtual(spec)
        return [str(folder / "virtual.json")] if folder else []

    def _cache(self) -> list[str]:
        return [str(self.plan.paths.cache / "cache.json")] if self.plan.paths.cache else []

    def teacher(self, wildcards: Any) -> list[str]:
        """The teacher's record, which hashes its weights: retraining the teacher retrains its students."""
        folder = self.plan.teacher_folder(self.plan.runs[wildcards.run])
        return [str(folder / "run.json")] if folder else []

    def pretraining(self, wildcards: Any) -> list[str]:
        """The record of the run that gives the initial weights, for the same reason as `teacher`."""
        name = self.plan.runs[wildcards.run].pretraining
        return [str(self.plan.results / "runs" / name / "run.json")] if name else []

    def label_encoder(self, wildcards: Any) -> list[str]:
        """The record of the label encoder, for the same reason as `teacher`."""
        folder = self.plan.label_encoder_folder(self.plan.runs[wildcards.run])
        return [str(folder / "run.json")] if folder else []

    def is_scored_here(self, run: Run) -> bool:
        """Whether rules predict and score a run: it has boxes, and its scores were not taken in."""
        known = self.taken.get(run.id)
        return run.spec.kind not in WITHOUT_BOXES and not (
            known and known.has_scores(self.plan.settings.split)
        )

    def scores(self, wildcards: Any) -> list[str]:
        """Inputs of a table."""
        return self.measured(self._shown(wildcards.table), wildcards.table)

    def compared(self, wildcards: Any) -> list[str]:
        """Inputs of the claims: scores, and the same scores over draws of scenes."""
        shown = self._shown(CLAIMS[0])
        draws = (self.plan.scores(self.plan.runs[run]) / SCENE_DRAWS for run in dict.fromkeys(shown))
        return [*self.measured(shown), *map(str, draws)]

    def measured(self, shown: Collection[str], table: str | None = None) -> list[str]:
        """Records and scores of runs and of their teachers.

        Teachers are scored here and not before their students train, so that scoring a teacher again retrains
        no student. A student that was taken in needs its teacher only where the table shows its scores.
        """
        measures = self.plan.tables[table].measures if table else ()
        shows_teachers = any(MEASURES[name].record == "teacher" for name in measures)
        taught = [run for run in shown if shows_teachers or run not in self.taken]
        teachers = [teacher for run in taught if (teacher := self.plan.runs[run].teacher)]
        runs = [self.plan.runs[run] for run in dict.fromkeys([*shown, *teachers])]
        places = [(self.plan.folder(run) / RUN, self.plan.scores(run) / METRICS_JSON) for run in runs]
        return [str(path) for pair in places for path in pair]

    def _shown(self, view: str) -> list[str]:
        """The runs of a table, or of the claims."""
        if view not in CLAIMS:
            return [run for row in self.plan.tables[view].rows for run in row.runs]
        pairs = (pair for claim in self.plan.claims.claims for pair in claim.pairs)
        return [run for pair in pairs for both in pair.runs for run in both]

    def page_records(self, wildcards: Any) -> list[str]:
        """Records of every run that the page shows, and the scores of those that predict boxes."""
        runs = [self.plan.runs[run] for run in self.plan.shown_runs()]
        detectors = [run for run in runs if run.spec.kind not in WITHOUT_BOXES]
        records = [self.plan.folder(run) / RUN for run in runs]
        records += [self.plan.scores(run) / METRICS_JSON for run in detectors if self._can_be_scored(run)]
        return [str(path) for path in records]

    def _can_be_scored(self, run: Run) -> bool:
        """False for a run that was taken in without weights or scores, which only the page may meet."""
        known = self.taken.get(run.id)
        return not known or known.has_weights or known.has_scores(self.plan.settings.split)

    def spec_sha(self, wildcards: Any) -> str:
        """Hash of a run's spec."""
        return self.plan.runs[wildcards.run].spec.sha

    def run_name(self, wildcards: Any, output: Any) -> str:
        """The name of a run for messages.

        Because it takes `output`, snakemake does not compare it with the last call, so that renaming a row
        trains nothing.
        """
        name, digits = self.names[wildcards.run], wildcards.run[-DIGITS:]
        return name if digits in name else f"{name} ({digits})"

    def prediction_sha(self, wildcards: Any) -> str:
        return sha_of({"run": self.spec_sha(wildcards), "predict": identity.PREDICT})

    def evaluation_sha(self, wildcards: Any) -> str:
        return sha_of({"run": self.spec_sha(wildcards), "evaluate": identity.EVALUATE})

    def table_sha(self, wildcards: Any) -> str:
        """Hash of a table with profile and recipe, so that changing either makes the table again."""
        return self._view_sha(self.plan.tables[wildcards.table])

    def claims_sha(self, wildcards: Any) -> str:
        return self._view_sha(self.plan.claims)

    def _view_sha(self, view: TableSpec | Claims) -> str:
        settings = self.plan.settings
        recipe = [settings.recipe, self.plan.recipe]
        named = {"profile": settings.profile, "recipe": recipe, "data": self.plan.data_id}
        return sha_of({**named, "view": asdict(view)})

    def table_title(self, wildcards: Any) -> str:
        return self.plan.tables[wildcards.table].title

    def page_sha(self, wildcards: Any) -> str:
        """Hash of all tables and claims."""
        views = [*map(self._view_sha, self.plan.tables.values()), self._view_sha(self.plan.claims)]
        return sha_of({"seeds": self.plan.settings.seeds, "views": views})

    def check_targets(self, targets: Iterable[str]) -> None:
        """Refuse a target that no rule of this plan makes, with the closest name as a hint."""
        results, shown = re.escape(str(self.plan.results)), re.escape(self.shown)
        for target in targets:
            self._refuse_other_split(target)
            if match := re.fullmatch(rf"(?:\./)?{results}/runs/([^/]+)/.*", target):
                self._refuse_unknown("run", match[1], self.plan.runs, target)
            elif match := re.fullmatch(rf"(?:\./)?{results}/data/([^/]+)/.*", target):
                self._refuse_unknown("data folder", match[1], {self.plan.data_id}, target)
            elif match := re.fullmatch(rf"(?:\./)?{shown}/([^/]+)\.(?:csv|md|tex)", target):
                self._refuse_unknown("table", match[1], {*self.plan.tables, *CLAIMS}, target)

    def _refuse_other_split(self, target: str) -> None:
        """Refuse a file of the other split, which may exist: snakemake would report it as up to date."""
        chosen = self.plan.settings.split
        for split in SCORED:
            views, figures, run = (
                re.escape(str(scores_folder(folder, split))).replace("RUN", "[^/]+")
                for folder in (self.plan.results, FIGURES, self.plan.results / "runs" / "RUN")
            )
            files = rf"{views}/[^/]+\.(?:csv|md|tex|html)|{figures}/[^/]+\.(?:pdf|svg|png)"
            files += rf"|{run}/(?:{RESULTS}|metrics\w*\.json)"
            if split != chosen and re.fullmatch(rf"(?:\./)?(?:{files})", target):
                what = f"this file belongs to split '{split}', but split '{chosen}' is chosen"
                raise UserError(what, where=target, hint=f"--config split={split}")

    def check_imports(self, targets: Iterable[str]) -> None:
        """Refuse a missing import that the targets need; without targets, that `all` needs."""
        for run in self._needed(targets):
            self.plan.check_import(run)

    def check_taken(self, targets: Collection[str]) -> None:
        """Refuse targets that need weights, boxes or other files that taken-in runs came without."""
        for run in self._needed(targets):
            if not (self.plan.folder(run) / RUN).exists():
                for other in run.needs:
                    self.plan.check_weights(self.plan.runs[other])
        for name in self._viewed(targets):
            if not self._can_be_scored(self.plan.runs[name]):
                self.taken[name].check_weights()
        for target in targets:
            match = re.fullmatch(rf"(?:\./)?{re.escape(str(self.plan.results))}/runs/([^/]+)/(.*)", target)
            if match and match[1] in self.taken and not Path(target).exists():
                known, file = self.taken[match[1]], match[2]
                if known.has_scores(self.plan.settings.split) or file in TRAINED:
                    raise known.lacks(file, f"it may be on {known.manifest.host}, where it was trained")
                known.check_weights()

    def check_root(self, targets: Collection[str]) -> None:
        """Check that a real data set exists, unless every run behind the targets was taken in."""
        if self._needed(targets) or self._folders(targets):
            self.plan.check_root()

    def check_starts(self, targets: Iterable[str]) -> None:
        """The same for ImageNet weights."""
        for run in self._needed(targets):
            self.plan.check_start(run)

    def check_devices(self, targets: Iterable[str], gpus: int = 0) -> None:
        """Refuse devices that cannot share the batch of a needed training, or more than the GPUs at hand."""
        for run in self._needed(targets):
            self.plan.check_devices(run)
            for job in (run.spec.kind, "predict"):
                count = self.plan.settings.devices.of(job)
                if 0 < gpus < count:
                    what = f"devices.{job} is {count}, and there are {gpus} GPUs"
                    raise UserError(what, where=f"run {run.id}", hint="see devices in config/config.yaml")

    def check_masks(self, targets: Iterable[str]) -> None:
        """The same for instance masks."""
        folders, objects = self._folders(targets), self.plan.objects
        needed: list[MaskSpec | None] = [self.plan.virtual.get(name) for name in folders]
        needed += [objects[name].virtual for name in folders if name in objects]
        needed += [masks for run in self._needed(targets) for masks in (run.spec.virtual, run.spec.masks)]
        for masks in needed:
            if masks:
                self.plan.check_masks(masks)

    def _folders(self, targets: Iterable[str]) -> list[str]:
        """Folders of the data set that the targets lie in, such as one of virtual points."""
        results = re.escape(str(self.plan.results))
        found: list[str] = re.findall(
            rf"^(?:\./)?{results}/data/[^/\n]+/([^/\n]+)/", "\n".join(targets), re.MULTILINE
        )
        return found

    def _needed(self, targets: Iterable[str]) -> list[Run]:
        """The runs behind the targets, those that these learn or start from before them.

        A run that was taken in is neither trained nor needs another.
        """
        runs, wanted = self.plan.runs, {*self._named(targets), *self._viewed(targets)} - self.taken.keys()
        for name in reversed(runs):  # a run stands before those that need it
            if name in wanted:
                wanted |= {*runs[name].needs} - self.taken.keys()
        return [run for name, run in runs.items() if name in wanted]

    def _named(self, targets: Iterable[str]) -> list[str]:
        """The runs whose files are targets."""
        results = re.escape(str(self.plan.results))
        return re.findall(rf"^(?:\./)?{results}/runs/([^/\n]+)/", "\n".join(targets), re.MULTILINE)

    def _viewed(self, targets: Iterable[str]) -> list[str]:
        """The runs of the tables and claims among the targets; of all, without targets or for other ones."""
        text = "\n".join(targets)
        views = re.findall(
            rf"^(?:\./)?{re.escape(self.shown)}/([^/\n]+)\.(?:csv|md|tex)$", text, re.MULTILINE
        )
        every = [*filter(self.in_all, self.plan.tables), CLAIMS[0]]
        views = views or ([] if self._named(targets) or self._folders(targets) else every)
        return [run for view in views for run in self._shown(view)]

    def in_all(self, table: str) -> bool:
        """Whether the target `all` makes a table."""
        return self.plan.in_all(self.plan.tables[table])

    def _refuse_unknown(self, noun: str, name: str, known: Collection[str], target: str) -> None:
        if name in known:
            return
        # an id of another profile or of an older plan differs in its digits only
        stem = name[: -DIGITS - 1] if re.fullmatch(rf".*-[0-9a-f]{{{DIGITS}}}", name) else name
        alike = [other for other in known if other.startswith(f"{stem}-")]
        hint = f"did you mean '{alike[0]}'?" if alike else nearest(name, known)
        profile = self.plan.settings.profile
        raise UserError(f"profile '{profile}' has no {noun} '{name}'", where=target, hint=hint)


class FigureJobs:
    """Jobs for figures; methods with wildcards are input or params functions."""

    def __init__(self, jobs: Jobs, folder: Path = Path("config")) -> None:
        self.jobs, self.plan = jobs, jobs.plan
        self.views = figures.load(self.plan, folder)
        self.style = str(folder / figures.STYLE)
        self.figures = one_of(self.views)
        self.probe_source = sorted(map(str, (PACKAGE / "probes").glob("*.py")))
        self.probed = one_of(name for name, view in self.views.items() if view.probed)
        self.folder = str(self.plan.drawn)
        # a figure of networks is left out where taken-in runs came without them
        self.left_out = {name: error for name, view in self.views.items() if (error := self._lacks(view))}
        # those that the targets `all` and `figures` draw
        drawn = [view for view in self.views.values() if view.table is None or jobs.in_all(view.table)]
        names = [view.name for view in drawn if view.name not in self.left_out]
        self.files = [f"{self.folder}/{name}.{ending}" for name in names for ending in FORMATS]

    def inputs(self, wildcards: Any) -> list[str]:
        """Results that a figure is drawn from."""
        view = self._view(wildcards)
        if view.probed:
            return [str(view.probed)]
        if view.table:
            return self.jobs.measured(view.runs, view.table)
        if view.chart == "forest":
            return self.jobs.compared(wildcards)
        return figures.records(self.plan, view.runs, "history.jsonl")

    def sources(self, wildcards: Any) -> list[str]:
        """The code that draws a figure; editing it draws the figure again, and nothing else."""
        chart = self._view(wildcards).chart
        return [*(str(CHARTS / name) for name in (f"{chart}.py", *SHARED)), *self.jobs.report_source]

    def probed_runs(self, wildcards: Any) -> list[str]:
        """Records of the probed runs and of the runs they learn or start from; boxes for a key frame."""
        view = self._view(wildcards)
        runs = [self.plan.runs[run] for run in view.runs]
        needed = [name for run in runs for name in run.needs]
        records = figures.records(self.plan, dict.fromkeys([*view.runs, *needed]))
        if view.chart != "key_frame":
            return records
        boxes = [(run, self.plan.scores(run) / RESULTS) for run in runs]
        return records + [str(path) for run, path in boxes if path.exists() or self.jobs.is_scored_here(run)]

    def probed_data(self, wildcards: Any) -> list[str]:
        """Data that a probe reads, or nothing once it was made; see Jobs._unless_made."""
        view = self._view(wildcards)
        if view.probed and view.probed.exists():
            return []
        runs = (self.plan.runs[run] for run in view.runs)
        return list(dict.fromkeys(path for run in runs for path in self.jobs.data(run)))

    def view_sha(self, wildcards: Any) -> str:
        """Hash of a figure with its table or the claims, because it prints their words."""
        view = self._view(wildcards)
        table = self.jobs.table_sha(SimpleNamespace(table=view.table)) if view.table else ""
        table = self.jobs.claims_sha(wildcards) if view.chart == "forest" else table
        return sha_of({"view": view.sha, "table": table, "data": self.plan.data_id})

    def probe_sha(self, wildcards: Any) -> str:
        return self._view(wildcards).probe_sha

    def title(self, wildcards: Any) -> str:
        return self._view(wildcards).title

    def check_targets(self, targets: Iterable[str]) -> None:
        """Refuse a figure that figures.yaml does not define."""
        pattern = rf"(?:\./)?{re.escape(self.folder)}/([^/]+)\.(?:{'|'.join(FORMATS)})"
        for target in targets:
            if match := re.fullmatch(pattern, target):
                try:
                    figures.find(self.views, match[1])
                except UserError as error:
                    raise UserError(error.what, where=target, hint=error.hint) from error
                if match[1] in self.left_out:
                    raise self.left_out[match[1]]

    def notes(self, targets: Collection[str]) -> list[str]:
        """A sentence for every figure that a call for all of them leaves out."""
        everything = not targets or "figures" in targets or f"{self.jobs.shown}/index.html" in targets
        return [f"figure {name} is left out: {error}" for name, error in self.left_out.items() if everything]

    def _lacks(self, view: FigureView) -> UserError | None:
        """The error of a figure that taken-in runs do not allow."""
        try:
            figures.check_probe(self.plan, view)
        except UserError as error:
            return error
        return None

    def _view(self, wildcards: Any) -> FigureView:
        return self.views[wildcards.figure]
