"""The written claims: endpoints, intervals, verdicts and what the poster reports, from the runs of a plan."""

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_runs import MEAN_AP, leave_draws, leave_run, planned
from scipy import stats

from dualdistill.errors import DataError
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan
from dualdistill.report.claims.files import write

STUDENTS, BOTH = "other_students_these_frames", "other_students_other_frames"
FRAMES = "these_students_other_frames"
COPY = "  copy:\n    says: A row against itself\n    pairs: [{row: bevdepth-r50, beats: bevdepth-r50}]\n"


def written(plan: Plan, name: str = "claims", index: tuple[str, ...] = ("claim", "endpoint")) -> pd.DataFrame:
    text = (plan.results / f"{name}.csv").read_text()
    return pd.read_csv(io.StringIO(text)).set_index(list(index))


def pairs(plan: Plan) -> pd.DataFrame:
    return written(plan, "claims_pairs", ("claim",))


def ends(row: pd.Series, name: str) -> tuple[float, float]:
    return row[f"{name}_low"], row[f"{name}_high"]


def test_the_written_claims_follow_from_the_runs(plan: Plan):
    write(plan, plan.results / "claims")
    mean = written(plan).loc["distillation_helps", "mean"]
    # per seed: 6.4 and 6.4 on ResNet-50, 5 and -6 on ResNet-101; their means are 5.7 and 0.2
    expected = stats.t(1, 2.95, 2.75).interval(0.95)
    assert (mean.effect, mean.n_seeds, mean.n_scenes) == (2.95, 2, 10)
    assert ends(mean, STUDENTS) == pytest.approx(expected, abs=0.006)
    # draws add little here: at one degree of freedom students scatter by far the most
    assert ends(mean, BOTH) == pytest.approx(expected, abs=0.1)
    assert (mean.verdict, mean.variance) == ("undecided", "own seeds")
    # at one degree of freedom and half the level, since there are two claims
    assert mean.smallest_found == pytest.approx(32.7 * 2.75, rel=0.02)
    p = stats.ttest_1samp([5.7, 0.2], 0).pvalue
    assert mean.p == pytest.approx(p, rel=0.02)
    # the smaller p value of the two claims is doubled, and the larger one raised to it
    other = written(plan).loc["r101_over_r50", "mean"]
    assert (other.holm_p, mean.holm_p) == pytest.approx((2 * other.p, 2 * other.p), rel=0.03)
    assert mean["NDS"] == pytest.approx(1.48)  # half of the mAP, by the formula of the runs
    assert (mean.reported_effect, mean.reported_holds, mean.damaged) == (4.9, "yes", "mAP")
    assert (mean.level, mean.margin) == (0.95, 2.0)


def test_the_weakest_pair_stands_in_a_second_line(plan: Plan):
    write(plan, plan.results / "claims")
    table = written(plan)
    assert [kind for claim, kind in table.index if claim == "distillation_helps"] == ["mean", "every pair"]
    assert [kind for claim, kind in table.index if claim == "r101_over_r50"] == ["mean"]
    row = table.loc["distillation_helps", "every pair"]
    assert row.pair == "dualdistill-r101-centerpoint over bevdepth-r101"
    assert (row.effect, row.n_seeds, row.verdict) == (-0.5, 2, "undecided")
    assert row[f"{STUDENTS}_low"] == pytest.approx(-0.5 - 12.706 * 5.5, abs=0.05)
    assert row[f"{STUDENTS}_high"] == pytest.approx(6.4, abs=0.05)
    assert pd.isna(row.holm_p)
    assert (row.reported_effect, row.reported_holds) == (4.3, "yes")
    assert pd.isna(row.damaged)


def test_pairs_are_described_and_not_judged(plan: Plan):
    write(plan, plan.results / "claims")
    both = pairs(plan).loc["distillation_helps"]
    assert both.effect.tolist() == [6.4, -0.5]
    assert not {"verdict", "p"} & set(both.columns)
    # the print of ResNet-50 without a teacher is damaged
    assert both.damaged.fillna("").tolist() == ["mAP", ""]


def test_the_document_states_the_rule_and_where_it_comes_from(plan: Plan):
    write(plan, plan.results / "claims")
    text = (plan.results / "claims.md").read_text()
    assert "not comparable with the poster's numbers" in text
    assert "- Seeds per pair of rows: 2; scenes: 10.\n" in text
    assert (
        "- Holm's correction over the 0 main claims, and over the 2 further ones; margin ±2.0 mAP.\n" in text
    )
    assert "NDS is descriptive" in text
    assert text.endswith("\n‡ Read from a damaged print; config/reported.csv says how.\n")
    assert "results/claims.csv --config profile=world recipe=matched" in text
    assert re.search(
        r"\| DualDistill improves every student +\| mean of 2 pairs +\| \+2\.95 +\| \[-31\.99, ", text
    )
    assert re.search(r"undecided \(would have found \d+\.\d\)", text)


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
    assert pairs(plan).loc["distillation_helps"].n_seeds.tolist() == [1, 2]
    assert "- Seeds per pair of rows: 1 to 2; scenes: 10.\n" in (plan.results / "claims.md").read_text()
    # the endpoint has the seed that all of its rows have
    mean = written(plan).loc["distillation_helps", "mean"]
    assert (mean.effect, mean.n_seeds, mean.lacks) == (5.7, 1, "one seed")
    assert written(plan).loc["distillation_helps", "every pair"].lacks == "one seed"


def test_a_pair_without_any_run_leaves_its_claim_undecided(plan: Plan):
    for run in plan.table("table_main").rows[2].runs:
        (plan.folder(plan.runs[run]) / "metrics.json").unlink()
    write(plan, plan.results / "claims", allow_missing=True)
    for line in ("mean", "every pair"):
        row = written(plan).loc["distillation_helps", line]
        assert pd.isna(row.effect)
        assert (row.n_seeds, row.verdict, row.lacks) == (0, "undecided", "missing runs")
    assert written(plan).loc["r101_over_r50", "mean"].n_seeds == 2


def one_seed(folder: Path) -> Plan:
    overrides = {"seeds": [0], "profile": "world"}
    plan = planning.load(folder / "config.yaml", overrides, results=folder.parent / "results")
    plan.paths.index.parent.mkdir(parents=True)
    plan.paths.index.write_bytes(b"index")
    for row in plan.table("table_main").rows:
        leave_run(plan, row.runs[0], MEAN_AP[row.row][0])
    return plan


def test_a_single_seed_has_the_interval_over_frames_alone(folder: Path):
    plan = one_seed(folder)
    write(plan, plan.results / "claims")
    table = written(plan)
    assert set(table.verdict) == {"undecided"}
    assert set(table.lacks) == {"one seed"}
    assert table[[f"{STUDENTS}_low", f"{BOTH}_low", "p"]].isna().all(axis=None)
    row = table.loc["r101_over_r50", "mean"]
    # 2 points per 0.1 of score and easy scene drawn; the bootstrap's variance is that of 10 scenes
    draws = 4.95 * (
        0.9 + 0.02 * np.random.default_rng(0).multinomial(10, np.full(10, 0.1), 1000)[:, ::2].sum(axis=1)
    )
    half = stats.t(1 / (1 / 9 + 1 / 999)).ppf(0.975) * np.sqrt(draws.var(ddof=1) * 10 / 9)
    assert ends(row, FRAMES) == pytest.approx((row.effect - half, row.effect + half), abs=0.006)
    text = (plan.results / "claims.md").read_text()
    assert "These students, other frames" in text
    assert "Other students, these frames" not in text
    assert "undecided (one seed)" in text


def test_runs_without_scene_draws_decide_nothing(plan: Plan):
    for row in plan.table("table_main").rows[1:]:
        for run in row.runs:
            (plan.folder(plan.runs[run]) / "scene_draws.npz").unlink()
    write(plan, plan.results / "claims")
    table = written(plan)
    assert set(table.lacks) == {"no draws of several scenes"}
    assert table[f"{BOTH}_low"].isna().all()
    assert table[f"{STUDENTS}_low"].notna().all()
    assert (
        "- Seeds per pair of rows: 2; no draws of several scenes.\n"
        in (plan.results / "claims.md").read_text()
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"mean_ap": 0.2}, r"its mAP is 0\.2000, that of metrics\.json 0\.4[\s\S]*evaluate the run again"),
        ({"sha": b"others"}, r"its scenes were drawn otherwise than those of dualdistill-r50-centerpoint-s0"),
    ],
)
def test_draws_that_do_not_belong_to_the_score_are_refused(plan: Plan, change: dict, sentence: str):
    run = plan.runs[plan.claims.rows["bevdepth-r101"].runs[0]]
    leave_draws(plan.scores(run), **{"mean_ap": MEAN_AP["bevdepth-r101"][0]} | change)
    with pytest.raises(DataError, match=sentence):
        write(plan, plan.results / "claims")


def extended(folder: Path, text: str) -> Plan:
    path = folder / "claims.yaml"
    path.write_text(path.read_text() + text)
    return planned(folder)


def test_a_claim_that_the_reported_numbers_contradict_is_marked(folder: Path):
    turned = "  turned:\n    says: The baseline is better\n    pairs:\n"
    plan = extended(folder, turned + "      - {row: bevdepth-r50, beats: dualdistill-r50-centerpoint}\n")
    write(plan, plan.results / "claims")
    row = written(plan).loc["turned", "mean"]
    assert (row.reported_effect, row.reported_holds) == (-5.4, "no")
    assert "-5.4‡, does not hold" in (plan.results / "claims.md").read_text()


def test_a_trend_has_its_ends_for_an_effect_and_its_steps_for_pairs(folder: Path):
    rows = "[bevdepth-r50, dualdistill-r50-centerpoint, dualdistill-r101-centerpoint]"
    plan = extended(folder, f"  order:\n    says: Larger is better\n    trend: [{rows}]\n")
    write(plan, plan.results / "claims")
    row = written(plan).loc["order", "trend"]
    assert row.effect == pytest.approx(np.mean([45.0 - 35.05, 44.0 - 35.06]), abs=0.006)
    assert pairs(plan).loc["order"].pair.tolist() == [
        "dualdistill-r50-centerpoint over bevdepth-r50",
        "dualdistill-r101-centerpoint over dualdistill-r50-centerpoint",
    ]
    assert written(plan).loc["order", "every pair"].effect == pytest.approx(3.045, abs=0.006)
    assert row.reported_effect > 0


def test_a_row_against_itself_has_no_effect(folder: Path):
    plan = extended(folder, COPY)
    write(plan, plan.results / "claims")
    row = written(plan).loc["copy", "mean"]
    assert (row.effect, row.verdict) == (0, "no effect beyond the margin")


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
        "level: 0.95\nmargin: 2.0\nclaims:\n  one:\n    says: One\n    pairs:\n"
        "      - {row: dualdistill-r50-mvp, beats: upsample-conv3}\n"
        "      - {row: mfd-only, beats: mfd-only}\n"
    )
    plan = planning.load(folder / "config.yaml", {"profile": "world"}, results=folder.parent / "results")
    plan.paths.index.parent.mkdir(parents=True)
    write(plan, plan.results / "claims", allow_missing=True)
    assert written(plan).loc["one", "every pair"].reported_effect == 0.0
    assert written(plan).loc["one"].damaged.tolist() == ["mAP", "mAP"]


def test_writing_twice_gives_the_same_bytes(plan: Plan):
    for name in ("one", "two"):
        write(plan, plan.results / name)
    for suffix in (".csv", ".md", "_pairs.csv"):
        assert (plan.results / f"one{suffix}").read_bytes() == (plan.results / f"two{suffix}").read_bytes()
