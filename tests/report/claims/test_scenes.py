"""The variance over frames: what draws of scenes add to students, and what students already cover."""

import numpy as np
import pytest

from dualdistill.report.claims.estimate import Measured

SCENES, DRAWS = 80, 4000
GROUPS = {"a": ("r50", "x"), "b": ("r50", "y")}


def measured(by_scene: dict[str, np.ndarray]) -> Measured:
    """Scores that are means over scenes [S, scenes], drawn with replacement."""
    times_BS = np.random.default_rng(9).multinomial(SCENES, np.full(SCENES, 1 / SCENES), DRAWS)
    draws = {row: dict(enumerate(scores @ times_BS.T / SCENES)) for row, scores in by_scene.items()}
    means = {row: dict(enumerate(scores.mean(axis=1))) for row, scores in by_scene.items()}
    return Measured(means, GROUPS, draws, SCENES)


def rows(seeds: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seeds)
    return {row: generator.normal(0, 5, SCENES) + generator.normal(0, 3, (seeds, SCENES)) for row in GROUPS}


@pytest.mark.parametrize("seeds", [1, 5])
def test_frames_have_the_variance_of_a_random_effect_of_scenes(seeds: int):
    by_scene = rows(seeds)
    difference = by_scene["a"] - by_scene["b"]
    # analysis of variance: mean squares of scenes and of the interaction
    scenes = difference.mean(axis=0).var(ddof=1)
    if seeds > 1:
        residual = (
            difference - difference.mean(axis=0) - difference.mean(axis=1, keepdims=True) + difference.mean()
        )
        scenes -= (residual**2).sum() / ((seeds - 1) * (SCENES - 1)) / seeds
    ours = measured(by_scene).estimate({"a": 1.0, "b": -1.0})
    assert ours.frames.variance == pytest.approx(scenes / SCENES, rel=0.1)
    assert ours.scenes == SCENES
    # 79 for the scenes, a little fewer because they are known from draws
    assert 75 < ours.frames.freedom < 79


def test_scenes_that_all_rows_share_cancel():
    by_scene = rows(4)
    shared = np.random.default_rng(0).normal(0, 50, SCENES)
    harder = {row: scores + shared for row, scores in by_scene.items()}
    one, other = (measured(each).estimate({"a": 1.0, "b": -1.0}) for each in (by_scene, harder))
    assert one.frames.variance == pytest.approx(other.frames.variance)


def test_one_seed_has_the_interval_over_frames_alone():
    ours = measured(rows(1)).estimate({"a": 1.0, "b": -1.0})
    assert ours.these_frames is None
    assert ours.other_frames is None
    assert ours.frames.variance > 0


def test_a_run_without_draws_leaves_students_alone():
    complete = measured(rows(3))
    lacking = Measured(complete.scores, GROUPS, {"a": complete.draws["a"]}, SCENES)
    ours = lacking.estimate({"a": 1.0, "b": -1.0})
    assert ours.these_frames == complete.estimate({"a": 1.0, "b": -1.0}).these_frames
    assert (ours.other_frames, ours.lacks) == (None, "no draws of several scenes")
