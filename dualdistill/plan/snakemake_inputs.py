"""What the rules of workflow/ ask: inputs by wildcard, hashes for params, patterns for wildcards.

A params hash covers what stands in no input file: another stage version or other runs make a job run again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dualdistill.config.run_spec import MaskSpec
from dualdistill.config.yaml import nearest
from dualdistill.errors import UserError
from dualdistill.plan import figures, identity, reader_names
from dualdistill.plan.figures import FigureView
from dualdistill.plan.identity import DIGITS
from dualdistill.plan.plan import FIGURES, WITHOUT_BOXES, Plan, Run
from dualdistill.plan.tables import Claims, TableSpec
from dualdistill.store.files import sha_of
from dualdistill.store.records import METRICS_JSON, RESULTS, RUN, SCORED, scores_folder

PACKAGE = Path(__file__).parents[1]
REPORT = PACKAGE / "report"
# every figure goes through these, beside the file of its chart
CHARTS = REPORT / "figures"
SHARED = ("draw.py", "layout.py", "table_charts.py", "bev_maps.py")
FORMATS = ("pdf", "svg", "png")
TRAINED = ("model.safetensors", "history.jsonl", "run.json")
CLAIMS = ("claims", "claims_pairs")  # files of the claims, beside the tables
NEVER = "(?!)"  # matches no wildcard at all


def one_of(names: Iterable[str]) -> str:
    return "|".join(map(re.escape, names)) or NEVER


class Jobs:
    """A plan as snakemake sees it; every method that takes wildcards is an input or params function."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.names = reader_names.names(plan.runs)
        self.data_ids = one_of([plan.data_id])
        self.world_ids = one_of([plan.data_id] if plan.data.world else [])
        self.virtual_ids = one_of(plan.virtual)
        self.cached_ids = one_of([plan.data_id] if plan.paths.cache else [])
        self.teachers = one_of(plan.of_kind("teacher"))
        self.label_encoders = one_of(plan.of_kind("labels"))
        self.pretrainings = one_of([*plan.of_kind("pretrain"), *plan.of_kind("detector")])
        self.students = one_of(plan.of_kind("student"))
        self.detectors = one_of(run.id for run in plan.runs.values() if run.spec.kind not in WITHOUT_BOXES)
        self.runs = one_of(plan.runs)
        self.tables = one_of(plan.tables)
        self.scored = str(scores_folder(plan.results / "runs" / "{run}", plan.settings.split))
        self.shown = str(plan.shown)
        self.views = [f"{self.shown}/{name}.csv" for name in (*plan.tables, *CLAIMS)]
        # the code behind tables, claims, figures and page: edited, it makes them anew and nothing else
        self.report_source = sorted(map(str, [PACKAGE / "plan" / "columns.py", *REPORT.glob("*.py")]))
        page_source = [*(REPORT / "html").glob("*.*"), CHARTS / "curves.py", CHARTS / "draw.py"]
        self.page_source = [*self.report_source, *sorted(map(str, page_source))]

    def tables_of_root(self, wildcards: Any) -> list[str]:
        """What the index is read from: the world's manifest; a real root is not made by any rule."""
        return [str(self.plan.paths.root / "world.json")] if self.plan.data.world else []

    def training_data(self, wildcards: Any) -> list[str]:
        run = self._run(wildcards)
        return self._unless_made([self.plan.folder(run) / name for name in TRAINED], self.data(run))

    def prediction_data(self, wildcards: Any) -> list[str]:
        run = self._run(wildcards)
        # a student that learned from virtual points does without
        data = self.data(run) if run.spec.kind == "teacher" else [*self._index(), *self._cache()]
        return self._unless_made([self.plan.scores(run) / RESULTS], data)

    def evaluation_data(self, wildcards: Any) -> list[str]:
        made = self.plan.scores(self._run(wildcards)) / METRICS_JSON
        return self._unless_made([made], self._index())

    def _run(self, wildcards: Any) -> Run:
        return self.plan.runs[wildcards.run]

    def _unless_made(self, outputs: Iterable[Path], data: list[str]) -> list[str]:
        """The data of a job, or none once it is done: its data cannot go stale, their hash is in its name.

        Were they listed, a cache that is deleted and made again would train every run again; were they
        ancient, snakemake would end early after a world was broken off.
        """
        return [] if all(path.exists() for path in outputs) else data

    def data(self, run: Run) -> list[str]:
        """Everything that a run's networks read in training."""
        folder = self.plan.paths.virtual(run.spec)
        virtual = [str(folder / "virtual.json")] if folder else []
        return [*self._index(), *self._cache(), *virtual]

    def _index(self) -> list[str]:
        return [*self.tables_of_root(None), str(self.plan.paths.index)]

    def _cache(self) -> list[str]:
        return [str(self.plan.paths.cache / "cache.json")] if self.plan.paths.cache else []

    def teacher(self, wildcards: Any) -> list[str]:
        """The teacher's record with the hash of its weights: a teacher trained anew retrains its students."""
        folder = self.plan.teacher_folder(self.plan.runs[wildcards.run])
        return [str(folder / "run.json")] if folder else []

    def pretraining(self, wildcards: Any) -> list[str]:
        """The record of what a run starts from, for the same reason."""
        name = self.plan.runs[wildcards.run].pretraining
        return [str(self.plan.results / "runs" / name / "run.json")] if name else []

    def label_encoder(self, wildcards: Any) -> list[str]:
        """The record of the second teacher of methods that ask for it, for the same reason."""
        folder = self.plan.label_encoder_folder(self.plan.runs[wildcards.run])
        return [str(folder / "run.json")] if folder else []

    def scores(self, wildcards: Any) -> list[str]:
        """What a table is made from."""
        return self.measured(self._shown(wildcards.table))

    def compared(self, wildcards: Any) -> list[str]:
        """What the claims are."""
        return self.measured(self._shown(CLAIMS[0]))

    def measured(self, shown: Collection[str]) -> list[str]:
        """Records and scores of runs and of their teachers: no student without its teacher's score.

        The student's training does not ask for that score: a teacher scored anew must retrain nobody.
        """
        taught_by = [teacher for run in shown if (teacher := self.plan.runs[run].teacher)]
        runs = [self.plan.runs[run] for run in dict.fromkeys([*shown, *taught_by])]
        places = [(self.plan.folder(run) / RUN, self.plan.scores(run) / METRICS_JSON) for run in runs]
        return [str(path) for pair in places for path in pair]

    def _shown(self, view: str) -> list[str]:
        """The runs of a table, or of the claims."""
        if view not in CLAIMS:
            return [run for row in self.plan.tables[view].rows for run in row.runs]
        pairs = (pair for claim in self.plan.claims.claims for pair in claim.pairs)
        return [run for pair in pairs for both in pair.runs for run in both]

    def page_records(self, wildcards: Any) -> list[str]:
        """Records of every run that a view shows or rests on, and scores where it has some."""
        runs = [self.plan.runs[run] for run in self.plan.shown_runs()]
        detectors = [run for run in runs if run.spec.kind not in WITHOUT_BOXES]
        records = [self.plan.folder(run) / RUN for run in runs]
        records += [self.plan.scores(run) / METRICS_JSON for run in detectors]
        return [str(path) for path in records]

    def spec_sha(self, wildcards: Any) -> str:
        return self.plan.runs[wildcards.run].spec.sha

    def run_name(self, wildcards: Any, output: Any) -> str:
        """The name of a run in a message.

        It takes `output` so that snakemake never compares it with the last run: a renamed row trains nothing.
        """
        name, digits = self.names[wildcards.run], wildcards.run[-DIGITS:]
        return name if digits in name else f"{name} ({digits})"

    def prediction_sha(self, wildcards: Any) -> str:
        return sha_of({"run": self.spec_sha(wildcards), "predict": identity.PREDICT})

    def evaluation_sha(self, wildcards: Any) -> str:
        return sha_of({"run": self.spec_sha(wildcards), "evaluate": identity.EVALUATE})

    def table_sha(self, wildcards: Any) -> str:
        """Changes with profile and recipe too, so that a table of one is not taken for the other's."""
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
        """Changes with every view, and with what those change with."""
        views = [*map(self._view_sha, self.plan.tables.values()), self._view_sha(self.plan.claims)]
        return sha_of({"seeds": self.plan.settings.seeds, "views": views})

    def check_targets(self, targets: Iterable[str]) -> None:
        """Refuse a target that no rule of this plan makes, with the name that was meant."""
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
        """What belongs to the other split may lie there, and snakemake would call it up to date."""
        asked = self.plan.settings.split
        for split in SCORED:
            views, figures, run = (
                re.escape(str(scores_folder(folder, split))).replace("RUN", "[^/]+")
                for folder in (self.plan.results, FIGURES, self.plan.results / "runs" / "RUN")
            )
            files = rf"{views}/[^/]+\.(?:csv|md|tex|html)|{figures}/[^/]+\.(?:pdf|svg|png)"
            files += rf"|{run}/(?:{RESULTS}|metrics\w*\.json)"
            if split != asked and re.fullmatch(rf"(?:\./)?(?:{files})", target):
                what = f"this belongs to the split '{split}', and '{asked}' is asked for"
                raise UserError(what, where=target, hint=f"--config split={split}")

    def check_masks(self, targets: Iterable[str]) -> None:
        """Refuse runs whose masks are not there: those that a target names, or else all views'."""
        results, shown = re.escape(str(self.plan.results)), re.escape(self.shown)
        runs, text = self.plan.runs, "\n".join(targets)
        views = re.findall(rf"^(?:\./)?{shown}/([^/\n]+)\.(?:csv|md|tex)$", text, re.MULTILINE)
        named = re.findall(rf"^(?:\./)?{results}/runs/([^/\n]+)/", text, re.MULTILINE)
        made = re.findall(rf"^(?:\./)?{results}/data/[^/\n]+/([^/\n]+)/", text, re.MULTILINE)
        for view in views or ([] if named or made else [*self.plan.tables, CLAIMS[0]]):
            named += self._shown(view)
        asked: list[MaskSpec | None] = [self.plan.virtual.get(name) for name in made]
        asked += [masks for name in named for masks in (runs[name].spec.virtual, runs[name].spec.masks)]
        for masks in asked:
            if masks:
                self.plan.check_masks(masks)

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
    """The figures of a plan as snakemake sees them; what takes wildcards is an input or params function."""

    def __init__(self, jobs: Jobs, folder: Path = Path("config")) -> None:
        self.jobs, self.plan = jobs, jobs.plan
        self.views = figures.load(self.plan, folder)
        self.style = str(folder / figures.STYLE)
        self.figures = one_of(self.views)
        self.probe_source = sorted(map(str, (PACKAGE / "probes").glob("*.py")))
        self.probed = one_of(name for name, view in self.views.items() if view.probed)
        self.folder = str(self.plan.drawn)
        self.files = [f"{self.folder}/{name}.{ending}" for name in self.views for ending in FORMATS]

    def inputs(self, wildcards: Any) -> list[str]:
        """The results a figure is drawn from: with one of them missing there is no figure."""
        view = self._view(wildcards)
        if view.probed:
            return [str(view.probed)]
        if view.table:
            return self.jobs.measured(view.runs)
        if view.chart == "forest":
            return self.jobs.compared(wildcards)
        return figures.records(self.plan, view.runs, "history.jsonl")

    def sources(self, wildcards: Any) -> list[str]:
        """The code that draws a figure: edited, it draws anew and nothing else."""
        chart = self._view(wildcards).chart
        own = [str(CHARTS / name) for name in (f"{chart}.py", *SHARED)]
        return [*own, *self.jobs.report_source]

    def probed_runs(self, wildcards: Any) -> list[str]:
        """Records of the networks that are asked, and of what their lessons are made from."""
        view = self._view(wildcards)
        shown = [self.plan.runs[run] for run in view.runs]
        behind = [one for run in shown for one in (run.teacher, run.label_encoder, run.pretraining) if one]
        found = figures.records(self.plan, dict.fromkeys([*view.runs, *behind]))
        return found + [str(self.plan.scores(run) / RESULTS) for run in shown if view.chart == "key_frame"]

    def probed_data(self, wildcards: Any) -> list[str]:
        """The data, or none once they were looked at: they cannot go stale, see Jobs.training_data."""
        view = self._view(wildcards)
        if view.probed and view.probed.exists():
            return []
        asked = (self.plan.runs[run] for run in view.runs)
        return list(dict.fromkeys(path for run in asked for path in self.jobs.data(run)))

    def view_sha(self, wildcards: Any) -> str:
        """The words of its table or of the claims are part of a figure."""
        view = self._view(wildcards)
        table = self.jobs.table_sha(SimpleNamespace(table=view.table)) if view.table else ""
        table = self.jobs.claims_sha(wildcards) if view.chart == "forest" else table
        return sha_of({"view": view.sha, "table": table, "data": self.plan.data_id})

    def probe_sha(self, wildcards: Any) -> str:
        return self._view(wildcards).probe_sha

    def title(self, wildcards: Any) -> str:
        return self._view(wildcards).title

    def check_targets(self, targets: Iterable[str]) -> None:
        """Refuse a target that is a figure which figures.yaml does not name."""
        for target in targets:
            if match := re.fullmatch(
                rf"(?:\./)?{re.escape(self.folder)}/([^/]+)\.(?:{'|'.join(FORMATS)})", target
            ):
                try:
                    figures.find(self.views, match[1])
                except UserError as error:
                    raise UserError(error.what, where=target, hint=error.hint) from error

    def _view(self, wildcards: Any) -> FigureView:
        return self.views[wildcards.figure]
