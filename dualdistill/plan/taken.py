"""Runs that were taken in from bundles: no rule trains them, and their scores are final."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dualdistill.errors import DataError
from dualdistill.plan import identity
from dualdistill.store.bundle import KEPT, Manifest, read_kept
from dualdistill.store.files import sha256_file
from dualdistill.store.records import METRICS_JSON, RESULTS, RUN, WEIGHTS, scores_folder

GUIDE = "docs/evidence.md"


def versions() -> dict[str, int]:
    """Versions of the stages that lie between weights and scores; the spec has those before."""
    return {"predict": identity.PREDICT, "evaluate": identity.EVALUATE}


@dataclass(frozen=True)
class Taken:
    """A run's folder that was filled from a bundle."""

    folder: Path
    manifest: Manifest

    @property
    def has_weights(self) -> bool:
        return (self.folder / WEIGHTS).exists()

    def has_scores(self, split: str) -> bool:
        """Whether its scores of a split were taken in, of the version that this suite computes."""
        path = str(scores_folder(Path(), split) / METRICS_JSON)
        return path in self.manifest.members and self.manifest.versions == versions()

    def lacks(self, what: str, hint: str) -> DataError:
        """The error for something that only the machine of the training has."""
        return DataError(f"run {self.manifest.run} was taken in without {what}", hint=f"{hint}; see {GUIDE}")

    def check_weights(self) -> None:
        if not self.has_weights:
            command = f"python -m dualdistill bundle pack {self.manifest.run} --weights --into FOLDER"
            hint = f"they are on {self.manifest.host}, where it was trained: {command}"
            raise self.lacks("its weights", hint)

    def check_prediction(self, split: str) -> None:
        """Refuse to predict what is scored already, or without weights."""
        if self.has_scores(split):
            file = scores_folder(self.folder, split) / RESULTS
            hint = f"they are on {self.manifest.host}, where they were scored: copy {RESULTS} to {file}"
            raise self.lacks(f"its boxes on {split}", hint)
        self.check_weights()


def read(folder: Path) -> Taken | None:
    """A run that was taken in; None where the run has been trained here, or again."""
    try:
        times = [(folder / name).stat().st_mtime_ns for name in (KEPT, RUN)]
    except FileNotFoundError:
        return None
    return _read(folder, *times)


@cache
def _read(folder: Path, kept: int, record: int) -> Taken | None:
    """The same, read once for each time of its two files, because planning asks many times."""
    manifest = read_kept(folder)
    same = manifest and sha256_file(folder / RUN) == manifest.members[RUN].file_sha
    return Taken(folder, manifest) if manifest and same else None
