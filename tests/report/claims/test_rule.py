"""Intervals, Holm, equivalence and power against statsmodels, scipy and printed tables; the verdicts."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import DescrStatsW

from dualdistill.report.claims import rule
from dualdistill.report.claims.rule import Estimate, Part, interval, judge, p_value

# Student's t for two-sided 95 %, from a printed table
QUANTILE = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 10: 2.262}
FRAMES = Part(0.0, 100.0)


def paired(values: list[float] | np.ndarray) -> Estimate:
    """The estimate from the differences of a single pair, by its own seeds."""
    n = len(values)
    students = (Part(float(np.var(values, ddof=1)) / n, n - 1),) if n > 1 else ()
    return Estimate(float(np.mean(values)), n, students, FRAMES, 100)


def verdict(values: list[float], margin: float = 1e-6) -> str:
    return judge([paired(values)], 0.95, margin)[0].verdict


@pytest.mark.parametrize("n", QUANTILE)
def test_a_small_sample_has_the_interval_of_the_printed_table(n: int):
    # n - 1 values at 0 and one at 1: mean 1/n, variance 1/n
    estimate = paired([0.0] * (n - 1) + [1.0])
    half = QUANTILE[n] * math.sqrt(1 / n) / math.sqrt(n)
    ends = interval(estimate.effect, estimate.these_frames, 0.95)
    assert ends == pytest.approx((1 / n - half, 1 / n + half), abs=2e-3)


samples = st.lists(st.floats(-5, 5).map(lambda value: round(value, 3)), min_size=3, max_size=12).filter(
    lambda values: np.std(values) > 1e-3
)


@given(samples, st.sampled_from([0.8, 0.9, 0.95, 0.99]))
@settings(deadline=None)
def test_interval_and_p_value_agree_with_scipys_paired_test(values: list[float], level: float):
    estimate = paired(values)
    theirs = stats.ttest_rel(values, np.zeros(len(values)))
    expected = theirs.confidence_interval(level)
    assert interval(estimate.effect, estimate.these_frames, level) == pytest.approx(expected, abs=1e-9)
    assert p_value(estimate.effect, estimate.these_frames) == pytest.approx(theirs.pvalue, abs=1e-9)


@given(samples, st.floats(0.1, 6))
@settings(deadline=None)
def test_equivalence_agrees_with_the_two_one_sided_tests_of_statsmodels(values: list[float], margin: float):
    p, _, _ = DescrStatsW(values).ttost_mean(-margin, margin)
    theirs = stats.ttest_1samp(values, 0).pvalue
    if abs(p - 0.05) < 1e-6 or abs(theirs - 0.05) < 1e-6:
        return
    equivalent = verdict(values, margin) == "no effect beyond the margin"
    assert equivalent == (p < 0.05 and theirs >= 0.05)


@pytest.mark.parametrize("count", [1, 2, 5, 19])
def test_adjusted_p_values_are_those_of_statsmodels(count: int):
    values = (np.random.default_rng(count).uniform(size=count) ** 4).tolist()
    assert rule.holm(values) == pytest.approx(multipletests(values, method="holm")[1].tolist())


@pytest.mark.parametrize("freedom", [2, 4, 8, 30, 200])
@pytest.mark.parametrize("error", [0.05, 0.01])
def test_the_smallest_effect_found_has_the_power_of_statsmodels(freedom: int, error: float):
    ours = rule.smallest_found(Part(0.25, freedom), error)
    size = ours / 0.5 / math.sqrt(freedom + 1)
    assert TTestPower().power(size, freedom + 1, error) == pytest.approx(0.8, abs=1e-3)


def test_the_smallest_effect_found_exists_at_a_single_degree_of_freedom():
    # beyond the reach of statsmodels' solver: a normal over the absolute value of another
    found = rule.smallest_found(Part(1.0, 1), 0.05 / 19)
    draws = np.random.default_rng(0).standard_normal((2, 200_000))
    quantile = stats.t.ppf(1 - 0.05 / 38, 1)
    assert np.mean(np.abs(draws[0] + found) / np.abs(draws[1]) > quantile) == pytest.approx(0.8, abs=5e-3)


def test_degrees_of_freedom_are_satterthwaites():
    sample = np.random.default_rng(0).normal(size=7), 3 * np.random.default_rng(1).normal(size=4)
    parts = [Part(values.var(ddof=1) / len(values), len(values) - 1) for values in sample]
    welch = stats.ttest_ind(*sample, equal_var=False)
    assert rule.total(parts).freedom == pytest.approx(welch.df)
    difference = sample[0].mean() - sample[1].mean()
    assert p_value(difference, rule.total(parts)) == pytest.approx(welch.pvalue)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 1.1, 1.2], "supported"),
        ([-1.0, -1.1, -1.2], "contradicted"),
        ([1.0, -1.1, 1.2], "undecided"),
        ([1.0, 1.2], "undecided"),  # t = 12.7 at two seeds
        ([1.0, 1.01], "supported"),
        ([0.0, 0.0, 0.0], "no effect beyond the margin"),
        ([0.01, -0.01, 0.02], "no effect beyond the margin"),
    ],
)
def test_the_verdicts(values: list[float], expected: str):
    assert verdict(values, margin=0.5) == expected


def test_holms_correction_counts_every_claim_also_those_without_a_run():
    clear, weaker = paired([1.0, 1.1, 1.2, 1.0]), paired([1.0, 1.4, 0.5, 0.9])
    alone, of_three = judge([weaker], 0.95, 0.1), judge([clear, weaker, None], 0.95, 0.1)
    assert alone[0].verdict == "supported"
    assert [each.verdict for each in of_three] == ["supported", "supported", "undecided"]
    assert of_three[1].holm_p == pytest.approx(2 * of_three[1].p)
    many = judge([weaker, *[None] * 9], 0.95, 0.1)
    assert [many[0].verdict, many[1].lacks] == ["undecided", "missing runs"]
    # the level that is left: of ten hypotheses, none rejected
    assert many[0].smallest_found == pytest.approx(rule.smallest_found(weaker.other_frames, 0.005))


def test_frames_decide_too():
    estimate = paired([1.0, 1.1, 1.2])
    noisy = replace(estimate, frames=Part(1.0, 100.0))
    assert [judge([each], 0.95, 0.5)[0].verdict for each in (estimate, noisy)] == ["supported", "undecided"]
    assert noisy.these_frames == estimate.these_frames
    unknown = judge([replace(estimate, frames=None)], 0.95, 0.5)[0]
    assert (unknown.verdict, unknown.lacks) == ("undecided", "no draws of several scenes")


def test_a_single_seed_decides_nothing():
    judged = judge([paired([3.0])], 0.95, 0.5)[0]
    assert (judged.verdict, judged.lacks, judged.p) == ("undecided", "one seed", None)


def of_pairs(*pairs: list[float]) -> str:
    estimates = [paired(pair) for pair in pairs]
    effects = [estimate.effect for estimate in estimates]
    return rule.side(rule.smallest(effects, [estimate.other_frames for estimate in estimates], 0.95))


CLEAR, CLEARLY_NOT, OPEN = [2.0, 2.1, 2.2], [-2.0, -2.1, -2.2], [1.0, -1.0, 2.0]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([CLEAR, CLEAR], "supported"),
        ([CLEAR, OPEN], "undecided"),
        ([CLEAR, CLEARLY_NOT], "contradicted"),
        ([OPEN, CLEARLY_NOT], "contradicted"),
        ([CLEAR, [1.0]], "undecided"),
    ],
)
def test_every_pair_is_a_conjunction(pairs: list[list[float]], expected: str):
    assert of_pairs(*pairs) == expected


def test_a_supported_conjunction_needs_no_stricter_level_for_many_pairs():
    barely = [0.05, 1.0, 1.05, 1.1]
    assert of_pairs(barely) == "supported"
    assert of_pairs(*[barely] * 20) == "supported"


def test_a_contradicted_conjunction_needs_a_stricter_level_for_many_pairs():
    barely_not = [-0.05, -1.0, -1.05, -1.1]
    assert of_pairs(barely_not) == "contradicted"
    assert of_pairs(barely_not, *[CLEAR] * 19) == "undecided"
