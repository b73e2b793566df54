"""A run's mAP over draws of scenes with replacement, for intervals that cover other frames.

The draws are the same for all runs of a split, so that runs can be compared draw by draw.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from dualdistill.data.columns import Columns, Integers, Strings
from dualdistill.data.geometry import Array

DRAWS, SEED = 1000, 0


@dataclass(frozen=True, eq=False)
class SceneDraws(Columns):
    """The mAP of a run over draws of the scenes of its split."""

    SCHEMA, NOUN, HINT = 1, "file of scene draws", "evaluate the run again"

    draws_sha: Strings  # of the drawn scenes: runs can be compared where it is equal
    matches_sha: Strings  # of the matches from which the numbers follow
    scenes: Integers  # number in the split
    mean_ap: Array  # over all scenes
    mean_ap_B: Array  # over each draw


def draw_scenes(scene_names: Strings) -> tuple[Integers, str]:
    """How often each scene counts in every draw, and a hash of it; a bootstrap over scenes [B, scenes]."""
    count = len(scene_names)
    generator = np.random.default_rng(SEED)
    drawn = generator.integers(0, count, (DRAWS, count))
    times_BS = np.zeros((DRAWS, count), dtype=np.int32)
    np.add.at(times_BS, (np.arange(DRAWS)[:, None], drawn), 1)
    digest = hashlib.sha256(b"\n".join(scene_names.tolist()))
    digest.update(times_BS.tobytes())
    return times_BS, digest.hexdigest()
