"""Figures of every scene alone, for a run whose matches are too large to keep."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from nuscenes.eval.common.config import config_factory

from dualdistill.config.nuscenes import BENCHMARK
from dualdistill.evaluation.exact import ExactEvaluation
from dualdistill.evaluation.matching import Matches

CONFIG = config_factory(BENCHMARK)


def figures(path: Path) -> bytes:
    """mAP, NDS and frames of every scene, as JSON."""
    matches = Matches.load(path)
    exact = ExactEvaluation(matches, CONFIG)
    scenes = {}
    for place, name in enumerate(matches.scene_name.tolist()):
        times_S = (matches.sample_scene == place).astype(np.int64)
        if times_S.any():
            scores, _ = exact.figures(times_S)
            frames = int(times_S.sum())
            scenes[name.decode()] = {
                "mean_ap": scores.mean_ap,
                "nd_score": scores.nd_score,
                "frames": frames,
            }
    return (json.dumps({"scenes": scenes}, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
