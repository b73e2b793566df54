"""Simulated experiments: no verdict is false more often than it may be, and power is as stated."""

from dataclasses import replace

import numpy as np
import pytest
from simulated import CLAIMS, World

from dualdistill.report.claims import rule
from dualdistill.report.claims.rule import Estimate, judge

REPEATED, LEVEL, MARGIN = 400, 0.95, 2.0
CHANCE = 3 * np.sqrt(0.05 * 0.95 / REPEATED)  # three standard deviations of a rate of 5 %
Experiments = list[list[Estimate]]
pytestmark = pytest.mark.slow  # together


def experiments(seeds: int, world: World) -> Experiments:
    generator = np.random.default_rng(seeds)
    made = (world.run(generator, seeds, {}) for _ in range(REPEATED))
    return [[measured.estimate(contrast) for contrast in CLAIMS.values()] for measured in made]


def shifted(estimate: Estimate, effect: float) -> Estimate:
    """The same experiment in a world in which this effect is added."""
    return replace(estimate, effect=estimate.effect + effect)


def alone(repeated: Experiments, effect: float, *verdicts: str) -> np.ndarray:
    """Rate of these verdicts by claim, each judged as the only one, when all have this effect."""
    given = [
        [judge([shifted(estimate, effect)], LEVEL, MARGIN)[0].verdict in verdicts for estimate in several]
        for several in repeated
    ]
    return np.mean(given, axis=0)


@pytest.fixture(scope="module", params=[3, 5, 10])
def repeated(request: pytest.FixtureRequest) -> Experiments:
    return experiments(request.param, World())


def test_a_true_null_is_seldom_supported_or_contradicted(repeated: Experiments):
    rates = alone(repeated, 0.0, "supported", "contradicted")
    assert rates.max() <= 0.05 + CHANCE
    assert rates.mean() <= 0.05 + CHANCE / 2  # claims share runs
    decided = [
        any(each.verdict in ("supported", "contradicted") for each in judge(several, LEVEL, MARGIN))
        for several in repeated
    ]
    assert np.mean(decided) <= 0.05 + CHANCE


def test_an_effect_at_the_margin_is_seldom_called_none_or_contradicted(repeated: Experiments):
    rates = alone(repeated, MARGIN, "no effect beyond the margin", "contradicted")
    assert rates.max() <= 0.05 + CHANCE
    assert rates.mean() <= 0.05 + CHANCE / 2  # claims share runs


def test_intervals_cover_the_true_effect(repeated: Experiments):
    covered = [
        [
            ends[0] <= 0 <= ends[1]
            for ends in (rule.interval(e.effect, e.other_frames, LEVEL) for e in several)
        ]
        for several in repeated
    ]
    assert np.mean(covered, axis=0).min() >= 0.95 - CHANCE


def test_power_is_as_stated(repeated: Experiments):
    """At the stated effect, averaged as its square is: only variances are estimated without bias."""
    for place in range(0, len(CLAIMS), 3):
        estimates = [several[place] for several in repeated]
        found = [rule.smallest_found(estimate.other_frames, 1 - LEVEL) for estimate in estimates]
        stated = float(np.sqrt(np.mean(np.square(found))))
        p_values = [rule.p_value(each.effect + stated, each.other_frames) for each in estimates]
        assert np.mean([p < 1 - LEVEL for p in p_values]) == pytest.approx(rule.POWER, abs=0.06)


def test_a_conjunction_is_seldom_supported_where_a_single_pair_is_null(repeated: Experiments):
    places = [list(CLAIMS).index(name) for name in ("mvp helps", "beyond the head", "adds to mfd")]
    judged = []
    for several in repeated:
        chosen = [shifted(several[place], 0.0 if place == places[0] else 10.0) for place in places]
        ends = rule.smallest([e.effect for e in chosen], [e.other_frames for e in chosen], LEVEL)
        judged.append(rule.side(ends))
    assert np.mean([each == "supported" for each in judged]) <= 0.025 + CHANCE
    assert np.mean([each == "contradicted" for each in judged]) <= 0.05 + CHANCE


@pytest.mark.parametrize("seeds", [3, 5])
def test_a_row_that_scatters_twice_as_much_is_decided_falsely_in_at_most_five_percent(seeds: int):
    """Its variance is pooled with the others', so that only Holm's level keeps the bound."""
    generator = np.random.default_rng(seeds)
    unequal = World(apart={"head": 2.0})
    decided = []
    for _ in range(REPEATED):
        estimate = unequal.run(generator, seeds, {}).estimate(CLAIMS["beyond the head"])
        judged = judge([estimate, *[None] * 14], LEVEL, MARGIN)[0]
        decided.append(judged.verdict in ("supported", "contradicted"))
    assert np.mean(decided) <= 0.05 + CHANCE
