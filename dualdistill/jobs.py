"""What the rules of workflow/ ask: inputs by wildcard, hashes for params, patterns for wildcards.

A params hash covers what stands in no input file: another stage version or other runs make a job run again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dualdistill import versions
from dualdistill.document import nearest
from dualdistill.errors import UserError
from dualdistill.plan import DIGITS, Plan, Run
from dualdistill.records import METRICS, RESULTS, RUN, SCORED, scores_folder
from dualdistill.spec import sha_of

TRAINED = ("model.safetensors", "history.jsonl", "run.json")
NEVER = "(?!)"  # matches no wildcard at all


def one_of(names: Iterable[str]) -> str:
    return "|".join(map(re.escape, names)) or NEVER


class Jobs:
    """A plan as snakemake sees it; every method that takes wildcards is an input or params function."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.data_ids = one_of([plan.data_id])
        self.world_ids = one_of([plan.data_id] if plan.data.world else [])
        self.cached_ids = one_of([plan.data_id] if plan.paths.cache else [])
        self.teachers = one_of(plan.of_kind("teacher"))
        self.pretrainings = one_of(plan.of_kind("pretrain"))
        self.students = one_of(plan.of_kind("student"))
        self.detectors = one_of([*plan.of_kind("teacher"), *plan.of_kind("student")])
        self.runs = one_of(plan.runs)
        self.tables = one_of(plan.tables)
        self.scored = str(scores_folder(plan.results / "runs" / "{run}", plan.settings.split))
        self.shown = str(plan.shown)
        self.table_files = [str(plan.shown / f"{name}.csv") for name in plan.tables]

    def tables_of_root(self, wildcards: Any) -> list[str]:
        """What the index is read from: the world's manifest; a real root is not made by any rule."""
        return [str(self.plan.paths.root / "world.json")] if self.plan.data.world else []

    def training_data(self, wildcards: Any) -> list[str]:
        made = [self.plan.folder(self._run(wildcards)) / name for name in TRAINED]
        return self._unless_made(made, [*self._index(), *self._cache()])

    def prediction_data(self, wildcards: Any) -> list[str]:
        made = self.plan.scores(self._run(wildcards)) / RESULTS
        return self._unless_made([made], [*self._index(), *self._cache()])

    def evaluation_data(self, wildcards: Any) -> list[str]:
        made = self.plan.scores(self._run(wildcards)) / METRICS
        return self._unless_made([made], self._index())

    def _run(self, wildcards: Any) -> Run:
        return self.plan.runs[wildcards.run]

    def _unless_made(self, outputs: Iterable[Path], data: list[str]) -> list[str]:
        """The data of a job, or none once it is done: its data cannot go stale, their hash is in its name.

        Were they listed, a cache that is deleted and made again would train every run again; were they
        ancient, snakemake would end early after a world was broken off.
        """
        return [] if all(path.exists() for path in outputs) else data

    def _index(self) -> list[str]:
        return [*self.tables_of_root(None), str(self.plan.paths.index)]

    def _cache(self) -> list[str]:
        return [str(self.plan.paths.cache / "cache.json")] if self.plan.paths.cache else []

    def teacher(self, wildcards: Any) -> list[str]:
        """The teacher's record with the hash of its weights: a teacher trained anew retrains its students."""
        folder = self.plan.teacher_folder(self.plan.runs[wildcards.run])
        return [str(folder / "run.json")] if folder else []

    def pretraining(self, wildcards: Any) -> list[str]:
        """The record of the backbone a student starts from, for the same reason."""
        name = self.plan.runs[wildcards.run].pretraining
        return [str(self.plan.results / "runs" / name / "run.json")] if name else []

    def scores(self, wildcards: Any) -> list[str]:
        """Records and scores of a table's runs and of their teachers: no student without its teacher's score.

        The student's training does not ask for that score: a teacher scored anew must retrain nobody.
        """
        shown = [run for row in self.plan.tables[wildcards.table].rows for run in row.runs]
        taught_by = [teacher for run in shown if (teacher := self.plan.runs[run].teacher)]
        runs = [self.plan.runs[run] for run in dict.fromkeys([*shown, *taught_by])]
        places = [(self.plan.folder(run) / RUN, self.plan.scores(run) / METRICS) for run in runs]
        return [str(path) for pair in places for path in pair]

    def spec_sha(self, wildcards: Any) -> str:
        return self.plan.runs[wildcards.run].spec.sha

    def prediction_sha(self, wildcards: Any) -> str:
        return sha_of({"run": self.spec_sha(wildcards), "predict": versions.PREDICT})

    def evaluation_sha(self, wildcards: Any) -> str:
        return sha_of({"run": self.spec_sha(wildcards), "evaluate": versions.EVALUATE})

    def table_sha(self, wildcards: Any) -> str:
        """Changes with the profile too, so that a table of one profile is not taken for the other's."""
        settings, table = self.plan.settings, self.plan.tables[wildcards.table]
        named = {"profile": settings.profile, "recipe": settings.recipe, "data": self.plan.data_id}
        return sha_of({**named, "table": asdict(table)})

    def check_targets(self, words: Iterable[str]) -> None:
        """Refuse a file of the command line that no rule of this plan makes, with the name that was meant."""
        results = re.escape(str(self.plan.results))
        for word in words:
            self._refuse_other_split(word)
            if match := re.fullmatch(rf"(?:\./)?{results}/runs/([^/]+)/.*", word):
                self._refuse_unknown("run", match[1], self.plan.runs, word)
            elif match := re.fullmatch(rf"(?:\./)?{results}/data/([^/]+)/.*", word):
                self._refuse_unknown("data folder", match[1], {self.plan.data_id: None}, word)
            elif match := re.fullmatch(rf"(?:\./)?{re.escape(self.shown)}/([^/]+)\.(?:csv|md|tex)", word):
                self._refuse_unknown("table", match[1], self.plan.tables, word)

    def _refuse_other_split(self, word: str) -> None:
        """A score or a table of the other split may lie there, and snakemake would call it up to date."""
        asked = self.plan.settings.split
        for split in SCORED:
            tables, runs = (
                re.escape(str(scores_folder(self.plan.results / name, split))) for name in ("", "runs/RUN")
            )
            files = rf"{tables}/[^/]+\.(?:csv|md|tex)|{runs}/(?:{RESULTS}|metrics\w*\.json)"
            if split != asked and re.fullmatch(rf"(?:\./)?(?:{files.replace('RUN', '[^/]+')})", word):
                what = f"this belongs to the split '{split}', and '{asked}' is asked for"
                raise UserError(what, where=word, hint=f"--config split={split}")

    def _refuse_unknown(self, noun: str, name: str, known: Mapping[str, Any], word: str) -> None:
        if name in known:
            return
        # an id of another profile or of an older plan differs in its digits only
        stem = name[: -DIGITS - 1] if re.fullmatch(rf".*-[0-9a-f]{{{DIGITS}}}", name) else name
        alike = [other for other in known if other.startswith(f"{stem}-")]
        hint = f"did you mean '{alike[0]}'?" if alike else nearest(name, known)
        profile = self.plan.settings.profile
        raise UserError(f"profile '{profile}' has no {noun} '{name}'", where=word, hint=hint)
