"""Check bundles without taking them in: hashes, seals, and that the scores follow from the matches."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

from dualdistill.errors import DataError
from dualdistill.evaluation.evaluate import EQUAL
from dualdistill.evaluation.exact import ExactEvaluation
from dualdistill.evaluation.matching import Matches
from dualdistill.evidence.scenes import CONFIG
from dualdistill.evidence.take import verified
from dualdistill.store.records import (
    DEVKIT_NAMES,
    MATCHES,
    METRICS_JSON,
    SCENES,
    SCORED,
    read_metrics,
    scores_folder,
)


def check(path: Path) -> str:
    """Verify a bundle; return its scores and the evidence that it has for them."""
    with tempfile.TemporaryDirectory() as folder:
        packed = verified(path, Path(folder))
        parts = [packed.manifest.kind, f"trained on {packed.manifest.host}"]
        for split in SCORED:
            scores = scores_folder(Path(folder), split)
            if (scores / METRICS_JSON).exists():
                parts.append(_scores(path, scores, split))
    return f"{path}: {'; '.join(parts)}"


def _scores(path: Path, scores: Path, split: str) -> str:
    record = read_metrics(scores)
    words = ", ".join(f"{name} {100 * record[key]:.2f}" for name, key in DEVKIT_NAMES.items())
    if not (scores / MATCHES).exists():
        evidence = "figures of its scenes" if (scores / SCENES).exists() else "no matches"
        return f"{split}: {words} as recorded, with {evidence}"
    figures, _ = ExactEvaluation(Matches.load(scores / MATCHES), CONFIG).figures()
    for name, key in DEVKIT_NAMES.items():
        if not math.isclose(getattr(figures, key), record[key], rel_tol=0, abs_tol=EQUAL):
            what = f"the {name} of its matches is {100 * getattr(figures, key):.4f}, recorded are"
            raise DataError(f"{what} {100 * record[key]:.4f} ({split})", where=str(path))
    return f"{split}: {words}, as its matches say"
