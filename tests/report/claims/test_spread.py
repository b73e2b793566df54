"""Contrasts and their standard errors against statsmodels; the pooled and the moderated variance."""

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from dualdistill.report.claims import spread
from dualdistill.report.claims.contrasts import slope
from dualdistill.report.claims.estimate import Measured
from dualdistill.report.claims.rule import p_value

ROWS = ("a", "b", "c", "d", "e")
GROUP = dict.fromkeys(ROWS, ("r50", "mvp"))
CONTRAST = {"a": 1.0, "b": -0.5, "c": -0.5}


def scores(seeds: int = 4, seed: int = 0) -> dict[str, dict[int, float]]:
    """Rows whose spreads happen to differ no more than by chance."""
    generator = np.random.default_rng(seed)
    luck = generator.normal(0, 2, seeds)
    return {
        row: dict(enumerate(generator.normal(20 + number, 1, seeds) + luck))
        for number, row in enumerate(ROWS)
    }


def frame(scores: dict[str, dict[int, float]]) -> pd.DataFrame:
    cells = [(row, seed, score) for row, several in scores.items() for seed, score in several.items()]
    return pd.DataFrame(cells, columns=["row", "seed", "score"])


def pooled(measured: Measured) -> Measured:
    known = measured.spreads["r50"]
    assert math.isinf(known.prior_freedom)
    return measured


def test_a_contrast_has_the_standard_error_and_p_value_of_a_two_way_model():
    data = scores()
    fitted = smf.ols("score ~ 0 + C(row) + C(seed)", frame(data)).fit()
    theirs = fitted.t_test("C(row)[a] - 0.5 * C(row)[b] - 0.5 * C(row)[c] = 0")
    ours = pooled(Measured(data, GROUP)).estimate(CONTRAST)
    assert ours.effect == pytest.approx(theirs.effect.item())
    assert math.sqrt(ours.these_frames.variance) == pytest.approx(theirs.sd.item())
    assert ours.these_frames.freedom == theirs.df_denom
    assert p_value(ours.effect, ours.these_frames) == pytest.approx(theirs.pvalue.item())
    assert ours.method == "pooled"


def test_a_contrast_has_the_standard_error_of_a_mixed_model_in_which_seeds_are_random():
    data = scores()
    fitted = smf.mixedlm("score ~ 0 + C(row)", frame(data), groups="seed").fit(reml=True)
    weights = np.array([[CONTRAST.get(row, 0.0) for row in ROWS]])
    theirs = fitted.t_test(weights)
    ours = Measured(data, GROUP).estimate(CONTRAST)
    assert ours.effect == pytest.approx(theirs.effect.item())
    assert math.sqrt(ours.these_frames.variance) == pytest.approx(theirs.sd.item(), rel=1e-4)


def test_rows_with_other_seeds_keep_the_residual_of_the_unbalanced_model():
    data = scores(6)
    del data["d"][0], data["e"][4], data["e"][5]
    fitted = smf.ols("score ~ C(row) + C(seed)", frame(data)).fit()
    known = pooled(Measured(data, GROUP)).spreads["r50"]
    assert known.variance == pytest.approx(fitted.mse_resid)
    assert known.freedom == pytest.approx(fitted.df_resid)
    # the contrast of rows that have all seeds counts six, one with the row that lacks a seed five
    assert Measured(data, GROUP).estimate(CONTRAST).seeds == 6
    ours = Measured(data, GROUP).estimate({"a": 1.0, "d": -1.0})
    assert ours.seeds == 5
    assert ours.effect == pytest.approx(np.mean([data["a"][seed] - data["d"][seed] for seed in range(1, 6)]))
    assert ours.these_frames.variance == pytest.approx(2 * fitted.mse_resid / 5)


def test_rows_that_no_seed_joins_are_not_compared():
    data = {"a": {0: 1.0, 1: 2.0}, "b": {2: 1.0, 3: 2.0}}
    assert Measured(data, {row: ("r50", "") for row in data}).estimate({"a": 1.0, "b": -1.0}) is None


def test_between_teachers_the_own_seeds_of_the_group_means_count():
    data = scores()
    groups = {row: ("r50", "mvp" if row in "ab" else "centerpoint") for row in ROWS}
    means = {"a": 0.5, "b": 0.5, "c": -1 / 3, "d": -1 / 3, "e": -1 / 3}
    ours = Measured(data, groups).estimate(means)
    of_mvp, of_centerpoint = (
        np.mean([list(data[row].values()) for row in rows], axis=0) for rows in ("ab", "cde")
    )
    theirs = stats.ttest_rel(of_mvp, of_centerpoint)
    assert ours.method == "own seeds"
    assert ours.these_frames.freedom == pytest.approx(3)
    assert p_value(ours.effect, ours.these_frames) == pytest.approx(theirs.pvalue)
    # a single pair of the same groups is the sum of both kinds
    single = Measured(data, groups).estimate({"a": 1.0, "c": -1.0})
    assert single.method == "pooled + own seeds"
    assert single.students[0].variance == pytest.approx(
        Measured(data, groups).spreads["r50"].variance * (1 / 2 + 2 / 3) / 4
    )
    assert single.these_frames.freedom > 3


def test_a_pair_that_crosses_backbones_alone_is_a_paired_test():
    data = {row: scores()[row] for row in "ab"}
    ours = Measured(data, {"a": ("r50", ""), "b": ("r101", "")}).estimate({"a": 1.0, "b": -1.0})
    theirs = stats.ttest_rel(*(list(several.values()) for several in data.values()))
    assert p_value(ours.effect, ours.these_frames) == pytest.approx(theirs.pvalue)


def test_the_prior_is_recovered_from_many_variances():
    generator = np.random.default_rng(0)
    true = 8 * 2.5 / generator.chisquare(8, 20_000)
    observed = true * generator.chisquare(4, 20_000) / 4
    freedom, variance = spread.fit_prior(observed, np.full(20_000, 4.0))
    assert freedom == pytest.approx(8, rel=0.1)
    assert variance == pytest.approx(2.5, rel=0.03)


def test_rows_that_always_score_zero_do_not_stop_the_statistics():
    nothing = {f"n{place}": {0: 0.0, 1: 0.0} for place in range(6)}
    something = {"a": {0: 0.0, 1: 0.1}, "b": {0: 0.0, 1: 0.0}, "c": {0: 0.1, 1: 0.0}}
    data = nothing | something
    groups = {row: ("r50", "mvp" if row in nothing else "centerpoint") for row in data}
    estimate = Measured(data, groups).estimate({"a": 1.0, "c": -1.0})
    assert estimate.students[0].variance > 0
    assert math.isfinite(estimate.students[0].freedom)


def test_equal_spreads_are_pooled_and_unequal_ones_moderated():
    equal, unequal = (Measured(data, GROUP) for data in (scores(), scores(8)))
    for place, row in enumerate(ROWS):
        unequal.scores[row].update({seed: score * 4.0**place for seed, score in unequal.scores[row].items()})
    assert equal.estimate(CONTRAST).method == "pooled"
    known, ours = unequal.spreads["r50"], unequal.estimate(CONTRAST)
    assert ours.method == f"moderated (prior df {known.prior_freedom:.1f})"
    own = np.var(
        [unequal.scores["a"][s] - (unequal.scores["b"][s] + unequal.scores["c"][s]) / 2 for s in range(8)],
        ddof=1,
    )
    shrunk = (known.prior_freedom * known.prior_variance + 7 * own / 1.5) / (known.prior_freedom + 7)
    assert ours.these_frames.variance == pytest.approx(1.5 * shrunk / 8)


def test_a_trend_is_the_ends_of_the_fitted_line():
    values = [3.0, 1.0, 4.0, 1.5]
    by_row = dict(zip("abcd", values, strict=True))
    line = np.polyval(np.polyfit(range(4), values, 1), [0, 3])
    assert sum(weight * by_row[row] for row, weight in slope("abcd").items()) == pytest.approx(
        line[1] - line[0]
    )
    assert slope("ab") == {"a": -1, "b": 1}
    assert slope("abc") == {"a": -1, "b": 0, "c": 1}


def test_rows_that_share_their_runs_are_one():
    data = {row: scores()[row] for row in "abc"}
    groups = {row: GROUP[row] for row in data}
    twice = Measured(data, groups, same={"a": "a", "b": "b", "c": "c", "copy": "a"})
    assert twice.estimate({"copy": 1.0, "b": -1.0}) == Measured(data, groups).estimate({"a": 1.0, "b": -1.0})
