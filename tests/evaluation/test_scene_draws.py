"""Weighted mAPs equal the exact evaluation's to the last bit; the draws are the same for all runs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from random_tables import OTHER, RACK, RandomRoot, Shape
from test_exact import CONFIG, SPLIT, matched, random_root, shapes

from dualdistill.data.scene_draws import DRAWS, SceneDraws, draw_scenes
from dualdistill.errors import DataError
from dualdistill.evaluation import scene_draws
from dualdistill.evaluation.exact import ExactEvaluation
from dualdistill.evaluation.matching import Matches


def by_figures(matches: Matches, times_BS: np.ndarray) -> list[float]:
    exact = ExactEvaluation(matches, CONFIG)
    return [exact.figures(times_S[matches.sample_scene])[0].mean_ap for times_S in times_BS]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10**6), shape=shapes, most=st.integers(1, 4))
def test_any_weights_of_scenes_give_the_exact_evaluations_figure(seed: int, shape: Shape, most: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = random_root(Path(folder), seed, shape)
        annotated = {row["instance_token"].split("/")[0] for row in root.annotations} - {OTHER, RACK}
        assume(annotated)  # without any box that counts, a root is refused
        matches = matched(root, root.document, SPLIT)
    times_BS = np.random.default_rng(seed).integers(0, most + 1, (8, len(matches.scene_name)), dtype=np.int32)
    times_BS[0] = 1
    assert scene_draws.mean_ap(matches, CONFIG, times_BS).tolist() == by_figures(matches, times_BS)


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> tuple[RandomRoot, Matches]:
    """Ten scenes in which many boxes are found, so that precision is above the floor of the benchmark."""
    root = random_root(tmp_path_factory.mktemp("dense"), 5, Shape(scenes=10, boxes=60, predicted=120))
    return root, matched(root, root.document, SPLIT)


def test_the_stored_draws_are_those_of_the_split(dense: tuple[RandomRoot, Matches], tmp_path: Path) -> None:
    matches = dense[1]
    scene_draws.of_matches(matches, CONFIG).save(tmp_path / "scene_draws.npz")
    stored = SceneDraws.load(tmp_path / "scene_draws.npz")
    times_BS, sha = draw_scenes(matches.scene_name)
    assert times_BS.shape == (DRAWS, 10)
    assert (times_BS.sum(axis=1) == 10).all()
    assert stored.mean_ap_B[:20].tolist() == by_figures(matches, times_BS[:20])
    assert float(stored.mean_ap) == ExactEvaluation(matches, CONFIG).figures()[0].mean_ap
    assert float(stored.mean_ap) > 0.05
    assert (int(stored.scenes), stored.draws_sha.item().decode()) == (10, sha)
    assert stored.matches_sha.item().decode() == matches.sha
    assert stored.mean_ap_B.std() > 0


def test_memory_bounds_the_draws_that_are_made_at_once(
    dense: tuple[RandomRoot, Matches], monkeypatch: pytest.MonkeyPatch
) -> None:
    times_BS, _ = draw_scenes(dense[1].scene_name)
    whole = scene_draws.mean_ap(dense[1], CONFIG, times_BS[:50])
    monkeypatch.setattr(scene_draws, "AT_ONCE", 1000)
    assert (scene_draws.mean_ap(dense[1], CONFIG, times_BS[:50]) == whole).all()


def test_draws_depend_on_the_scenes_and_on_nothing_else() -> None:
    names = np.array([f"scene-{number}".encode() for number in range(40)])
    (first, sha), (second, again) = draw_scenes(names), draw_scenes(names.copy())
    assert (first == second).all()
    assert sha == again
    assert draw_scenes(names[::-1])[1] != sha
    # a scene counts once in the mean, with a variance near one, as in any bootstrap
    assert first.mean() == 1
    assert first.var() == pytest.approx(1 - 1 / 40, abs=0.03)


def test_a_damaged_file_is_refused(dense: tuple[RandomRoot, Matches], tmp_path: Path) -> None:
    path = tmp_path / "scene_draws.npz"
    scene_draws.of_matches(dense[1], CONFIG).save(path)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(DataError, match="the file of scene draws cannot be read"):
        SceneDraws.load(path)
