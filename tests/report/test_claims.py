"""Claims: the interval against scipy and printed tables, the rule for several pairs, the written files."""

import io
import math
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_runs import MEAN_AP, leave_run, planned
from scipy import stats

from dualdistill.errors import DataError
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan
from dualdistill.report.claims import paired, smallest, verdict, write

# Student's t for two-sided 95 %, from a printed table
QUANTILE = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 10: 2.262}


def exact(*values: float) -> list[Decimal]:
    return [Decimal(repr(float(value))) for value in values]


@pytest.mark.parametrize("n", QUANTILE)
def test_a_small_sample_has_the_interval_of_the_printed_table(n: int):
    # n - 1 values at 0 and one at 1: mean 1/n, variance 1/n
    effect = paired(exact(*[0] * (n - 1), 1), 0.95)
    half = QUANTILE[n] * math.sqrt(1 / n) / math.sqrt(n)
    assert float(effect.mean) == pytest.approx(1 / n)
    assert (effect.low, effect.high) == pytest.approx((1 / n - half, 1 / n + half), abs=2e-3)


@given(
    st.lists(st.floats(-0.5, 0.5).map(lambda value: round(value, 6)), min_size=2, max_size=12),
    st.sampled_from([0.8, 0.9, 0.95, 0.99]),
)
@settings(deadline=None)
def test_the_interval_and_the_verdict_agree_with_scipys_paired_test(values: list[float], level: float):
    effect = paired(exact(*values), level)
    if np.std(values) < 1e-9:
        assert effect.low == pytest.approx(effect.high, abs=1e-9)
        return
    theirs = stats.ttest_rel(values, np.zeros(len(values)))
    expected = theirs.confidence_interval(level)
    assert (effect.low, effect.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    if abs(theirs.pvalue - (1 - level)) > 1e-6:
        assert (verdict(effect) != "undecided") == (theirs.pvalue < 1 - level)


def test_a_single_seed_has_no_interval_and_no_verdict():
    effect = paired(exact(0.3), 0.95)
    assert (effect.mean, effect.low, effect.high, effect.n) == (Decimal("0.3"), None, None, 1)
    assert verdict(effect) == "undecided"
    assert verdict(None) == "undecided"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.010, 0.011, 0.012), "supported"),
        ((-0.010, -0.011, -0.012), "contradicted"),
        ((0.010, -0.011, 0.012), "undecided"),
        ((0.010, 0.012), "undecided"),  # t = 12.7 at two seeds
        ((0.010, 0.0101), "supported"),
        ((0.0, 0.0, 0.0), "undecided"),
    ],
)
def test_a_verdict_needs_an_interval_on_one_side_of_zero(values: tuple[float, ...], expected: str):
    assert verdict(paired(exact(*values), 0.95)) == expected


CLEAR, CLEARLY_NOT, OPEN = exact(0.02, 0.021, 0.022), exact(-0.02, -0.021, -0.022), exact(0.01, -0.01, 0.02)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([CLEAR, CLEAR], "supported"),
        ([CLEAR, OPEN], "undecided"),
        ([CLEAR, CLEARLY_NOT], "contradicted"),
        ([OPEN, CLEARLY_NOT], "contradicted"),
        ([CLEAR, exact(0.01)], "undecided"),
    ],
)
def test_a_claim_holds_when_it_holds_in_every_pair(pairs: list[list[Decimal]], expected: str):
    effect = smallest(pairs, 0.95)
    assert verdict(effect) == expected
    assert effect.mean == min(paired(pair, 0.95).mean for pair in pairs)


def test_a_supported_claim_needs_no_stricter_level_for_many_pairs():
    barely = exact(0.0005, 0.01, 0.0105, 0.011)
    assert verdict(paired(barely, 0.95)) == "supported"
    assert verdict(paired(barely, 0.99)) == "undecided"
    assert verdict(smallest([barely] * 20, 0.95)) == "supported"


def test_a_contradicted_claim_needs_a_stricter_level_for_many_pairs():
    barely_not = exact(-0.0005, -0.01, -0.0105, -0.011)
    assert verdict(smallest([barely_not], 0.95)) == "contradicted"
    assert verdict(smallest([barely_not, *[CLEAR] * 19], 0.95)) == "undecided"


def test_the_interval_of_the_smallest_effect_has_its_coverage():
    generator = np.random.default_rng(0)
    effects = np.array([0.0, 0.002, 0.05])
    held = 0
    for _ in range(400):
        sample = effects[:, None] + 0.01 * generator.standard_normal((3, 4))
        effect = smallest([exact(*pair) for pair in sample], 0.95)
        held += effect.low <= effects.min() <= effect.high
    # three standard deviations below 95 % of 400
    assert held >= 380 - 3 * math.sqrt(400 * 0.95 * 0.05)


def written(plan: Plan, name: str = "claims") -> pd.DataFrame:
    text = (plan.results / f"{name}.csv").read_text()
    return pd.read_csv(io.StringIO(text)).set_index(["claim", "metric"])


def test_the_written_claims_follow_from_the_runs(plan: Plan):
    write(plan, plan.results / "claims")
    row = written(plan).loc["distillation_helps", "mAP"]
    # the weaker pair is ResNet-101: +5 points with one seed and -6 with the other
    assert row.weakest_pair == "dualdistill-r101-centerpoint over bevdepth-r101"
    assert (row.effect, row.n_seeds, row.verdict) == (-0.5, 2, "undecided")
    assert row.low == pytest.approx(-0.5 - 12.706 * 5.5, abs=0.05)
    assert (row.reported_effect, row.reported_holds) == (4.3, "yes")
    assert pd.isna(row.damaged)
    pairs = written(plan, "claims_pairs").loc["distillation_helps", "mAP"]
    assert pairs.effect.tolist() == [6.4, -0.5]
    # the print of ResNet-50 without a teacher is damaged
    assert pairs.damaged.fillna("").tolist() == ["mAP", ""]
    # 6.4 with both seeds
    assert pairs.verdict.tolist() == ["supported", "undecided"]
    text = (plan.results / "claims.md").read_text()
    assert "not comparable with the poster's numbers" in text
    assert "- Seeds per pair of rows: 2.\n" in text
    assert [text.count(f"+5.4{mark}") for mark in ("‡", "")] == [1, 1]
    assert text.endswith("\n‡ Read from a damaged print; config/reported.csv says how.\n")
    assert "results/claims.csv --config profile=world recipe=matched" in text
    assert re.search(r"\| DualDistill improves every student +\| 2 +\| mAP +\| -0\.50 \[-70\.", text)


def test_claims_of_the_dev_split_name_it(dev_plan: Plan):
    write(dev_plan, dev_plan.shown / "claims")
    text = (dev_plan.results / "dev" / "claims.md").read_text()
    assert "- Data: world, split dev (" in text
    assert " results/dev/claims.csv " in text
    assert "split=dev" in text


def test_a_seed_that_a_row_lacks_is_not_paired(plan: Plan):
    run = plan.runs[plan.table("table_main").rows[2].runs[1]]
    (plan.folder(run) / "metrics.json").unlink()
    with pytest.raises(DataError, match=r"claims lacks 1 of 8 runs: dualdistill-r50-centerpoint-s1-"):
        write(plan, plan.results / "claims")
    assert not (plan.results / "claims.csv").exists()
    write(plan, plan.results / "claims", allow_missing=True)
    row = written(plan, "claims_pairs").loc["distillation_helps", "mAP"]
    assert row.n_seeds.tolist() == [1, 2]
    assert "- Seeds per pair of rows: 1 to 2.\n" in (plan.results / "claims.md").read_text()
    assert pd.isna(row.low.iloc[0])


def test_a_pair_without_any_run_leaves_its_claim_undecided(plan: Plan):
    for run in plan.table("table_main").rows[2].runs:
        (plan.folder(plan.runs[run]) / "metrics.json").unlink()
    write(plan, plan.results / "claims", allow_missing=True)
    row = written(plan).loc["distillation_helps", "mAP"]
    assert pd.isna(row.effect)
    assert (row.n_seeds, row.verdict) == (0, "undecided")
    assert written(plan).loc["r101_over_r50", "mAP"].n_seeds == 2


def test_a_single_seed_has_effects_without_intervals(folder: Path):
    overrides = {"seeds": [0], "profile": "world"}
    plan = planning.load(folder / "config.yaml", overrides, results=folder.parent / "results")
    plan.paths.index.parent.mkdir(parents=True)
    plan.paths.index.write_bytes(b"index")
    for row in plan.table("table_main").rows:
        leave_run(plan, row.runs[0], MEAN_AP[row.row][0])
    write(plan, plan.results / "claims")
    row = written(plan)
    assert set(row.verdict) == {"undecided"}
    assert row.low.isna().all()
    assert "[" not in (plan.results / "claims.md").read_text().split("\n\n", 2)[2].replace("seeds=[0]", "")


def test_a_claim_that_the_reported_numbers_contradict_is_marked(folder: Path):
    path = folder / "claims.yaml"
    path.write_text(
        path.read_text() + "  turned:\n    says: The baseline is better\n    pairs:\n"
        "      - {row: bevdepth-r50, beats: dualdistill-r50-centerpoint}\n"
    )
    plan = planned(folder)
    write(plan, plan.results / "claims")
    row = written(plan).loc["turned", "mAP"]
    assert (row.reported_effect, row.reported_holds, row.verdict) == (-5.4, "no", "contradicted")
    assert "-5.4‡, does not hold" in (plan.results / "claims.md").read_text()


def test_of_equal_reports_a_claim_takes_the_damaged_one(folder: Path):
    path = folder / "tables.yaml"
    path.write_text(
        path.read_text()
        + "      - {row: mfd-only, reported: abl_mfd, shown: {method: a}}\n"
        + "      - {row: upsample-conv3, reported: align_aoa, shown: {method: b}}\n"
        + "      - {row: dualdistill-r50-mvp, reported: r50_ours_mvp, shown: {method: c}}\n"
    )
    # both effects are nothing; only the second pair's print is damaged
    (folder / "claims.yaml").write_text(
        "level: 0.95\nclaims:\n  one:\n    says: One\n    pairs:\n"
        "      - {row: dualdistill-r50-mvp, beats: upsample-conv3}\n"
        "      - {row: mfd-only, beats: mfd-only}\n"
    )
    plan = planning.load(folder / "config.yaml", {"profile": "world"}, results=folder.parent / "results")
    plan.paths.index.parent.mkdir(parents=True)
    write(plan, plan.results / "claims", allow_missing=True)
    row = written(plan).loc["one"]
    assert row.reported_effect.tolist() == [0.0, 0.0]
    assert row.damaged.tolist() == ["mAP", "NDS"]


def test_writing_twice_gives_the_same_bytes(plan: Plan):
    for name in ("one", "two"):
        write(plan, plan.results / name)
    for suffix in (".csv", ".md", "_pairs.csv"):
        assert (plan.results / f"one{suffix}").read_bytes() == (plan.results / f"two{suffix}").read_bytes()
