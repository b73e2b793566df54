"""Rounding and averaging of metrics."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualdistill.report.numbers import Score, points, rounded, span

metrics = st.floats(min_value=0, max_value=1)


@pytest.mark.parametrize(
    ("metric", "shown"),
    [
        ("0.4145", "41.5"),
        ("0.41449999", "41.4"),
        ("0.0005", "0.1"),
        ("1.0", "100.0"),
        ("0.0", "0.0"),
        ("0.35", "35.0"),
    ],
)
def test_a_metric_is_shown_in_points_rounded_half_up(metric, shown):
    assert points(Decimal(metric)) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [("0.0640", "+6.4"), ("-0.0145", "-1.5"), ("-0.0001", "+0.0"), ("0", "+0.0")]
)
def test_a_difference_carries_its_sign_and_zero_never_a_minus(value, shown):
    assert points(Decimal(value), sign=True) == shown


def test_no_metric_is_an_empty_text():
    assert points(None) == ""


@given(metrics)
def test_rounding_is_half_up_on_the_decimal_expansion(metric):
    tenths = Fraction(repr(metric)) * 1000
    assert Fraction(points(Decimal(repr(metric)))) * 10 == (2 * tenths + 1) // 2


@given(st.lists(metrics, min_size=2, max_size=6), st.randoms())
def test_mean_and_std_ignore_the_order_of_seeds_and_agree_with_numpy(values, random):
    score = Score.over_seeds(values)
    random.shuffle(values)
    assert Score.over_seeds(values) == score
    assert float(score.mean) == pytest.approx(np.mean(values), abs=1e-12)
    assert float(score.std) == pytest.approx(np.std(values, ddof=1), abs=1e-7)


def test_a_single_seed_has_no_standard_deviation():
    assert Score.over_seeds([0.4145]) == Score(Decimal("0.4145"), None, 1)


@given(metrics, metrics)
def test_a_difference_shown_is_the_rounded_difference_and_not_that_of_rounded_values(value, baseline):
    ours, theirs = (Score.over_seeds([metric]).mean for metric in (value, baseline))
    exact = (Fraction(repr(value)) - Fraction(repr(baseline))) * 100
    assert abs(Fraction(points(ours - theirs, sign=True)) - exact) <= Fraction(1, 20)


def test_rounding_takes_the_places_asked_for():
    assert rounded(Decimal("1.005"), places=2) == "1.01"


@pytest.mark.parametrize(
    ("counts", "words"), [([3, 3], "3"), ([1, 3, 0], "0 to 3"), ([], "0")], ids=["alike", "apart", "none"]
)
def test_a_span_names_the_least_and_the_most(counts, words):
    assert span(counts) == words
