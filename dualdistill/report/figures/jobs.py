"""What workflow/rules/figures.smk asks: the inputs of a figure, by name, and the hash of its line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dualdistill.errors import UserError
from dualdistill.jobs import Jobs, one_of
from dualdistill.records import RESULTS
from dualdistill.report.figures import views
from dualdistill.report.figures.views import View
from dualdistill.spec import sha_of

FORMATS = ("pdf", "svg", "png")
SOURCES = Path(__file__).parent
# what every figure goes through, beside the file of its chart
SHARED = ("draw.py", "page.py", "scores.py", "maps.py")
# what looks into networks
OBSERVERS = ("observe.py", "look.py", "scene.py")


class FigureJobs:
    """The figures of a plan as snakemake sees them; what takes wildcards is an input or params function."""

    def __init__(self, jobs: Jobs, folder: Path = Path("config")) -> None:
        self.jobs, self.plan = jobs, jobs.plan
        self.views = views.load(self.plan, folder)
        self.style = str(folder / views.STYLE)
        self.figures = one_of(self.views)
        self.observers = [str(SOURCES / name) for name in OBSERVERS]
        self.observed = one_of(name for name, view in self.views.items() if view.observed)
        self.folder = str(self.plan.drawn)
        self.files = [f"{self.folder}/{name}.{ending}" for name in self.views for ending in FORMATS]

    def inputs(self, wildcards: Any) -> list[str]:
        """The results a figure is drawn from: with one of them missing there is no figure."""
        view = self._view(wildcards)
        if view.observed:
            return [str(view.observed)]
        if view.table:
            return self.jobs.measured(view.runs)
        if view.chart == "forest":
            return [str(self.plan.shown / views.CLAIMS)]
        return views.records(self.plan, view.runs, "history.jsonl")

    def sources(self, wildcards: Any) -> list[str]:
        """The code that draws a figure: edited, it draws anew and nothing else."""
        chart = self._view(wildcards).chart
        own = [str(SOURCES / name) for name in (f"{chart}.py", *SHARED)]
        return [*own, *self.jobs.report_source]

    def observed_runs(self, wildcards: Any) -> list[str]:
        """Records of the networks that are asked, and of what their lessons are made from."""
        view = self._view(wildcards)
        shown = [self.plan.runs[run] for run in view.runs]
        behind = [one for run in shown for one in (run.teacher, run.label_encoder, run.pretraining) if one]
        found = views.records(self.plan, dict.fromkeys([*view.runs, *behind]))
        return found + [str(self.plan.scores(run) / RESULTS) for run in shown if view.chart == "frame"]

    def observed_data(self, wildcards: Any) -> list[str]:
        """The data, or none once they were looked at: they cannot go stale, see Jobs.training_data."""
        view = self._view(wildcards)
        if view.observed and view.observed.exists():
            return []
        asked = (self.plan.runs[run] for run in view.runs)
        return list(dict.fromkeys(path for run in asked for path in self.jobs.data(run)))

    def view_sha(self, wildcards: Any) -> str:
        """A table's words are part of its figure."""
        view = self._view(wildcards)
        table = self.jobs.table_sha(SimpleNamespace(table=view.table)) if view.table else ""
        return sha_of({"view": view.sha, "table": table, "data": self.plan.data_id})

    def observation_sha(self, wildcards: Any) -> str:
        return self._view(wildcards).observation_sha

    def title(self, wildcards: Any) -> str:
        return self._view(wildcards).title

    def check_targets(self, words: Iterable[str]) -> None:
        """Refuse a figure of the command line that figures.yaml does not name."""
        for word in words:
            if match := re.fullmatch(
                rf"(?:\./)?{re.escape(self.folder)}/([^/]+)\.(?:{'|'.join(FORMATS)})", word
            ):
                try:
                    views.find(self.views, match[1])
                except UserError as error:
                    raise UserError(error.what, where=word, hint=error.hint) from error

    def _view(self, wildcards: Any) -> View:
        return self.views[wildcards.figure]
