"""A table on paper: CSV, Markdown and LaTeX from the same rows."""

import io
from dataclasses import replace
from decimal import Decimal

import pandas as pd
import pytest

from dualdistill.report.collect import NOT_COMPARABLE, Row, Table
from dualdistill.report.numbers import Score
from dualdistill.report.tables import csv, latex, markdown


def row(method, backbone, mean_ap, nds, *, block=None, **more):
    score = {"mAP": Score.over_seeds(mean_ap), "NDS": Score.over_seeds(nds)} if mean_ap else {}
    labels = {"backbone": backbone, "method": method}
    filled = {"delta": {}, "reported": {}, "reported_delta": {}, "run": f"{method}-s0-0123456789"} | more
    return Row(labels=labels, block=block or backbone, score=score, **filled)


@pytest.fixture
def table():
    gain = {"mAP": Decimal("0.0640"), "NDS": Decimal("-0.01449")}
    told = {
        "reported": {"mAP": Decimal("41.5"), "NDS": Decimal("51.9")},
        "reported_delta": {"mAP": Decimal("6.4")},
    }
    rows = (
        row("CenterPoint", "", [0.9], [0.9]),
        row("BEVDepth", "ResNet-50", [0.35], [0.53]),
        row("Ours_&_mine", "ResNet-50", [0.4145], [0.51549], delta=gain, **told),
        row("BEVDepth", "ResNet-101", [0.41449], [0.41449]),
        row("Ours", "ResNet-101", [0.4136, 0.4138], [0.4, 0.5]),
    )
    command = "snakemake --cores all results/t.csv"
    columns, headings = (
        ("backbone", "method"),
        {"backbone": "Backbone", "method": "Method", "mAP": "mAP", "NDS": "NDS"},
    )
    return Table("Main", columns, headings, rows, "world", True, "matched", "all alike", command)


def test_the_csv_has_the_promised_columns_in_points(table):
    frame = pd.read_csv(io.StringIO(csv(table)))
    assert list(frame.columns)[:2] == ["backbone", "method"]
    assert list(frame.columns)[-5:] == ["data", "profile", "recipe", "run", "command"]
    assert frame.mAP.tolist() == [90.0, 35.0, 41.5, 41.4, 41.4]
    assert frame.delta_mAP[2] == 6.4
    assert frame.delta_NDS[2] == -1.4
    assert frame.reported_mAP[2] == 41.5
    assert frame.reported_delta_mAP[2] == 6.4
    assert set(frame.data) == {"world"}
    assert set(frame.recipe) == {"matched"}


def test_one_seed_prints_no_standard_deviation(table):
    frame = pd.read_csv(io.StringIO(csv(table)))
    assert frame.mAP_std.isna().tolist() == [True] * 4 + [False]
    assert frame.n_seeds.tolist() == [1, 1, 1, 1, 2]
    assert frame.NDS_std[4] == 7.07
    assert markdown(table).split("\n\n", 2)[2].count("±") == 2


def test_the_best_number_of_a_block_is_bold_and_a_tie_as_printed_makes_two(table):
    lines = markdown(table).splitlines()
    one, baseline, ours, other, last = [line for line in lines if line.startswith("|")][2:]
    assert "**" not in one, "a row alone in its block has nobody to beat"
    assert "**41.5 (+6.4)**" in ours
    assert "**53.0**" in baseline
    assert "**41.4**" in other
    assert "**41.4 ± 0.01**" in last


def test_the_mark_of_a_row_that_is_not_complete_leaves_its_bold_number_bold(table):
    first = row("Ours", "ResNet-50", [0.4], [0.5], missing=("ours-s1-c",))
    text = markdown(replace(table, rows=(first, row("BEVDepth", "ResNet-50", [0.3], [0.4]))))
    assert "| **40.0§** |" in text


def test_numbers_keep_their_decimal_in_markdown(table):
    assert "| 35.0 " in markdown(table)
    assert "**53.0**" in markdown(table)


def test_a_table_of_the_world_says_that_it_is_not_comparable(table):
    for text in (markdown(table), latex(table, "t")):
        assert NOT_COMPARABLE in text
        assert "matched" in text
        assert "Seeds per row: 1 to 2;" in text
        assert "snakemake --cores all results/t.csv" in text
    real = replace(table, synthetic=False, data="nuscenes")
    assert "synthetic" not in markdown(real) + latex(real, "t")


def test_latex_is_booktabs_with_special_characters_escaped(table):
    text = latex(table, "t")
    assert text.count("\\toprule") == text.count("\\bottomrule") == 1
    assert "Ours\\_\\&\\_mine" in text
    assert "\\textbf{41.5 (+6.4)}" in text
    assert "51.5 ($-$1.4)" in text
    assert "\\begin{tabular}{llrrrrr}" in text


def test_latex_rules_off_every_block_that_has_a_best_number_of_its_own(table):
    body = latex(table, "t").split("\\toprule\n")[1].split("\\bottomrule")[0]
    assert [part.count("\\\\") for part in body.split("\\midrule\n")] == [1, 1, 2, 2]


def test_latex_keeps_what_is_not_to_be_typeset_in_comments_and_escapes_the_rest(table):
    text = latex(replace(table, title=r"50 % of {a_b} < 1 ~ \x^2"), "t")
    typeset = [line for line in text.splitlines() if not line.startswith("%")]
    assert "% Made by: snakemake --cores all results/t.csv" in text.splitlines()
    assert not any("--cores" in line for line in typeset)
    (caption,) = [line for line in typeset if line.startswith("\\caption")]
    escaped = r"50 \% of \{a\_b\} \textless{} 1 \textasciitilde{} \textbackslash{}x\textasciicircum{}2"
    assert caption == f"\\caption{{{escaped} ({NOT_COMPARABLE}).}}"


def test_a_row_without_its_runs_is_a_dash_with_a_footnote(table):
    gone = row("Ours", "ResNet-101", [], [], missing=("ours-s0-a", "ours-s1-b"))
    part = row("Ours", "ResNet-50", [0.4], [0.5], missing=("ours-s2-c",))
    holes = replace(table, rows=(gone, part))
    text = markdown(holes)
    assert "| -§ " in text
    assert "| 40.0§ " in text
    assert "\n§ ResNet-101 Ours: 0 of 2 seeds, missing ours-s0-a, ours-s1-b.\n" in text
    assert "\n§ ResNet-50 Ours: 1 of 2 seeds, missing ours-s2-c.\n" in text
    assert "ResNet-101 & Ours & --$^\\S$ & --$^\\S$" in latex(holes, "t")
    frame = pd.read_csv(io.StringIO(csv(holes)))
    assert frame.n_seeds.tolist() == [0, 1]
    assert frame.mAP.isna().tolist() == [True, False]
